"""FCC (section 3.3) the slow, obvious way: whole attention maps in float64, columns overwritten by index.

It shares nothing with the pack: prompts are recognised by their embedding, evaluations are paired by their order,
content positions are counted from the end of the text.
"""

import types

import comfy.sample
import comfy.samplers
import torch


def content_positions(clip, text, content):
    """Positions of the last tokens of ``text`` that ``content`` is made of, counted over all chunks of 77."""
    key, chunks = next(iter(clip.tokenize(text, return_word_ids=True).items()))
    count = len(getattr(clip.tokenizer, f"clip_{key}").tokenizer(content)["input_ids"]) - 2
    words = [77 * c + i for c, chunk in enumerate(chunks) for i, (_, _, word) in enumerate(chunk) if word]
    return words[-count:]


class DenseUNet:
    """Makes the cross attention of ``model`` (a private MODEL of the test) dense, and its maps visible.

    ``maps`` collects, for every occurrence of the prompt ``embedding`` in a batch, {layer: M [B, heads, N, L]}. With
    ``source``, ``columns`` and ``source_columns``, the replacement is carried out in the map. ``source(sigma, n)``
    gives the maps for the n-th occurrence in all, at noise level ``sigma``.
    """

    def __init__(self, model, embedding, source=None, columns=(), source_columns=(), strength=1.0, window=(0.0, 1e9)):
        self.embedding = embedding
        self.source, self.columns, self.source_columns = source, list(columns), list(source_columns)
        self.strength, self.window = strength, window
        self.maps = []
        unet = model.model.diffusion_model
        self._handle = unet.register_forward_pre_hook(self._see_batch, with_kwargs=True)
        for name, module in unet.named_modules():
            if name.endswith("attn2"):
                module.forward = types.MethodType(self._dense(name), module)

    def _see_batch(self, unet, args, kwargs):
        x = args[0]
        context = kwargs["context"]
        length = self.embedding.shape[1]
        self.ours = []
        self.sigma = float(kwargs["transformer_options"]["sigmas"][0])
        self.inside = self.window[0] <= self.sigma <= self.window[1]
        chunks = len(kwargs["transformer_options"]["uuids"])
        size = x.shape[0] // chunks
        for i in range(chunks):
            rows = context[i * size]
            if rows.shape[0] % length == 0 and torch.equal(rows[:length], self.embedding[0].to(rows)):
                self.ours.append((slice(i * size, (i + 1) * size), len(self.maps)))
                self.maps.append({})

    def _dense(self, layer):
        reference = self

        def forward(module, x, context=None, value=None, mask=None, transformer_options=None):
            def heads(t):
                return t.unflatten(-1, (module.heads, -1)).transpose(1, 2).double()

            q, k, v = heads(module.to_q(x)), heads(module.to_k(context)), heads(module.to_v(context))
            m = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, dim=-1)
            for rows, occurrence in reference.ours:
                length = reference.embedding.shape[1]
                folded = m[rows].unflatten(-1, (-1, length)).sum(-2)
                reference.maps[occurrence][layer] = folded
                if reference.source is not None and reference.inside:
                    source = reference.source(reference.sigma, occurrence)[layer]
                    for own, theirs in zip(reference.columns, reference.source_columns, strict=True):
                        folded[..., own] = (1 - reference.strength) * folded[..., own] + reference.strength * source[
                            ..., theirs
                        ]
                    m[rows] = 0
                    m[rows, :, :, :length] = folded
            return module.to_out((m @ v).transpose(1, 2).flatten(-2).to(x.dtype))

        return forward


def maps_of_pass(maps):
    """The source for another pass of the same evaluations: the n-th occurrence there takes the n-th here."""
    return lambda sigma, occurrence: maps[occurrence]


class NoisedPhoto:
    """The source for a pass of any evaluations: ``photo`` noised to each noise level, in an evaluation of its own.

    ``model``, which ``dense`` looks into, evaluates it under the ``positive`` and ``negative`` of that pass's layout.
    """

    def __init__(self, model, dense, positive, negative, photo, seed):
        self.model, self.dense, self.positive, self.negative, self.photo = model, dense, positive, negative, photo
        self.noise = comfy.sample.prepare_noise(photo, seed)
        self.first, self.read = {}, {}

    def __call__(self, sigma, occurrence):
        if sigma not in self.read:
            self.first[sigma], self.dense.maps = occurrence, []
            self._evaluate(sigma)
            self.read[sigma] = self.dense.maps
        return self.read[sigma][(occurrence - self.first[sigma]) % len(self.read[sigma])]

    def _evaluate(self, sigma):
        def once(model, x, sigmas, extra_args, **_):
            level = sigmas[0]
            model(model.latent_image + level * model.noise, level.expand(len(x)), **extra_args)
            return x

        sampler, sigmas = comfy.samplers.KSAMPLER(once), torch.tensor([sigma, 0.0])
        conditionings = self.positive, self.negative
        comfy.sample.sample_custom(self.model, self.noise, 7.5, sampler, sigmas, *conditionings, self.photo)
