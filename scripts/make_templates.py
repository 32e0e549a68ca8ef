"""Write the templates of ``example_workflows`` and the blueprint of ``subgraphs``, as templates.py describes them."""

import tempfile
from pathlib import Path

import environment


def main():
    """Ask a ComfyUI server what its nodes are, and write every file."""
    import comfy_server
    from graph_file import write
    from templates import BLUEPRINT_FILE, blueprint, path, templates

    with tempfile.TemporaryDirectory(prefix="styo-templates-") as folder, comfy_server.serve(Path(folder)) as server:
        info = server.get("/object_info")
    made = {path(name): workflow for name, workflow in templates(info).items()}
    for file, workflow in {**made, BLUEPRINT_FILE: blueprint(info)}.items():
        write(file, workflow)
        print(file)


if __name__ == "__main__":
    environment.enter()
    main()
