/**
 * Shows the pictures of a training on the closed subgraph node that it runs in.
 *
 * The page hands them to that node as well. The classic renderer draws them on no subgraph node; Nodes 2.0 does, by
 * the node's preview exposures.
 */
import { app } from '../../scripts/app.js'

const TRAINING = 'StyOIDLTrain'
const MARGIN = 10
const LEAST_HEIGHT = 220 // of a picture, as on any other node

const trains = ({ nodes }) => nodes.some(({ type, subgraph }) => type === TRAINING || (subgraph && trains(subgraph)))

/** The height at which a node's sockets and widgets end. */
function end({ inputs, outputs, widgets = [] }) {
  const sockets = Math.max(inputs.filter((input) => !input.widget).length, outputs.length) * LiteGraph.NODE_SLOT_HEIGHT
  return widgets.reduce((y, widget) => Math.max(y, widget.y + (widget.computedHeight ?? LiteGraph.NODE_WIDGET_HEIGHT)), sockets)
}

function draw(context) {
  const picture = this.imgs?.at(-1)
  if (!picture || this.flags.collapsed || !trains(this.subgraph)) return
  const top = end(this) + MARGIN
  const [width, height] = this.size
  if (height - top - MARGIN < LEAST_HEIGHT) {
    this.setSize([width, top + LEAST_HEIGHT + MARGIN])
    return
  }
  const [wide, high] = [width - 2 * MARGIN, height - top - MARGIN]
  const scale = Math.min(wide / picture.naturalWidth, high / picture.naturalHeight)
  const [x, y] = [picture.naturalWidth * scale, picture.naturalHeight * scale]
  context.drawImage(picture, MARGIN + (wide - x) / 2, top, x, y)
}

app.registerExtension({
  name: 'StyO.TrainingPreview',
  nodeCreated(node) {
    if (!node.isSubgraphNode()) return
    const before = node.onDrawForeground
    node.onDrawForeground = function (...args) {
      before?.apply(this, args)
      draw.apply(this, args)
    }
  }
})
