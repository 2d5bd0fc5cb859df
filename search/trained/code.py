"""How a trained model is loaded by PyTorch alone, in at most ten lines of Python."""

from __future__ import annotations

from search.models.base import Task
from search.models.images import ImageSpec
from search.models.registry import family_of
from search.trained.about import About


def loading(about: About, file: str) -> str:
    """Python that loads the safetensors `file`, which says `about` of itself, and prints the class of a picture."""
    config, spec = about.config, about.spec
    task = Task(len(about.classes), len(spec.channels), spec.crop, config.hidden)
    *first, built = family_of(config.model).code(config.model, task)
    see, needs = _transform(spec)
    both = "from torchvision import models, transforms as T"
    first = [both if line == "from torchvision import models" else line for line in first]
    needs = [] if both in first else needs
    imports = [line for line in first if line.startswith(("import ", "from "))]
    plain = {line.removeprefix("import ") for line in imports if line.startswith("import ")}
    plain |= {"json", "safetensors.torch"}
    parts = {"from PIL import Image, ImageOps", *needs, *(line for line in imports if line.startswith("from "))}
    heads = [f"import {', '.join(sorted(plain))}", *sorted(parts, key=lambda line: line.split()[1].lower())]
    return "\n".join(
        [
            *heads,
            *(line for line in first if line not in imports),
            built,
            f'safetensors.torch.load_model(model.eval(), "{file}")',
            f'classes = json.loads(safetensors.safe_open("{file}", "pt").metadata()["classes"])',
            f'image = {see}(ImageOps.exif_transpose(Image.open("picture.jpg")).convert("{spec.channels}"))',
            "print(classes[model(image[None]).argmax()])",
        ]
    )


def _transform(spec: ImageSpec) -> tuple[str, list[str]]:
    """The transforms that make the model's image of a picture, as Python, and the imports that it needs."""
    (height, width), (high, wide) = spec.resize, spec.crop
    how = f"T.InterpolationMode.{spec.interpolation.upper()}"
    numbers = f"{list(spec.mean)}, {list(spec.std)}"
    if spec.fit == "squash" or (spec.fit == "center" and height == width):
        size = f"({height}, {width})" if spec.fit == "squash" else f"{height}"
        crop = f"T.CenterCrop(({high}, {wide})), " if spec.fit == "center" or spec.resize != spec.crop else ""
        parts = f"T.Resize({size}, {how}), {crop}T.ToTensor(), T.Normalize({numbers})"
        return f"T.Compose([{parts}])", ["from torchvision import transforms as T"]
    share = high / height
    options = f"input_size={(len(spec.channels), high, wide)}, interpolation={spec.interpolation!r}, "
    options += f"mean={spec.mean}, std={spec.std}, crop_pct={share!r}, crop_mode={spec.fit!r}"
    return f"create_transform({options})", ["from timm.data import create_transform"]


def needs_file(about: About) -> str | None:
    """The Python file that the model's layers are in, of one's own; None for every other model."""
    file, _, _ = about.config.model.rpartition(":")
    return file if file.endswith(".py") else None
