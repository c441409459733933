"""How the host's commands name datasets."""


def dataset_id(name: str) -> int:
    """Return 4 for "Dataset004_Hippocampus"."""
    return int(name[len("Dataset") :].split("_")[0])


def train_command(dataset: str, configuration: str, fold: int | str, trainer: str, plans: str = "nnUNetPlans") -> str:
    """Return the nnUNetv2_train call that a user would type."""
    plans_flag = "" if plans == "nnUNetPlans" else f" -p {plans}"
    return f"nnUNetv2_train {dataset_id(dataset)} {configuration} {fold} -tr {trainer}{plans_flag}"
