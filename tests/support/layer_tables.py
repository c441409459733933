"""Networks as tables of layers, as the paper prints them."""

from torch import nn

PAPER = (120, 120, 60)


def rows(modules: list[nn.Module]) -> list[tuple]:
    """Read (kernel, stride, kernels, normalised) of each convolution off a list of modules in forward order."""
    table = []
    for module in modules:
        if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
            table.append([module.kernel_size, module.stride, module.out_channels, False])
        elif isinstance(module, nn.BatchNorm3d):
            table[-1][3] = True
    return [tuple(row) for row in table]


def leaves(module: nn.Module) -> list[nn.Module]:
    return [leaf for leaf in module.modules() if not list(leaf.children())]
