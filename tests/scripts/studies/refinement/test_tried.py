from scripts.studies.refinement.tried import (
    GUARANTEE_FILE,
    SELECTION_FILE,
    STOCK_FILE,
    guarantee_section,
    selection_section,
    stock_section,
)


def test_nothing_was_recorded(tmp_path):
    assert selection_section(tmp_path) == guarantee_section(tmp_path) == stock_section(tmp_path) == ""


def test_what_was_tried_has_a_table_per_dataset_and_gaps(tmp_path):
    lines = ["dataset,tried,kind,cases,dice,hausdorff_mm", "a,none,clean,2,0.5,3", "a,none,slab,2,0.25,9"]
    lines += ["a,mine,slab,2,0.75,4.126", "b,none,clean,1,1,0"]
    (tmp_path / SELECTION_FILE).write_text("\n".join(lines) + "\n")

    said = selection_section(tmp_path)

    assert "| a | clean | slab |" in said
    assert "| none | 0.5000 / 3.00 | 0.2500 / 9.00 |" in said
    assert "| mine | – | 0.7500 / 4.13 |" in said
    assert "| b | clean |" in said


def test_the_guarantee_counts_slices_and_hearts_per_kind(tmp_path):
    names = "network,seed,kind,case,slices,broken_predicted,broken_refined,broken_guaranteed,left,dice_predicted,"
    names += "dice_refined,dice_guaranteed,hausdorff_predicted,hausdorff_refined,hausdorff_guaranteed,seconds"
    rows = [
        "n,0,clean,x,9,3,2,0,False,0.3,0.5,0.4,40,10,8,0.5",
        "n,0,clean,y,7,1,1,1,True,0.7,0.7,0.7,20,20,20,1.5",
        "n,1,clean,x,5,0,0,0,False,0.5,0.6,0.7,30,30,29,1",
    ]
    (tmp_path / GUARANTEE_FILE).write_text("\n".join([names, *rows]) + "\n")

    said = guarantee_section(tmp_path)

    # Seed 1 was not predicted on y.
    cells = "2 | 2 | 14 | 3 | 2 | 0 | 0 | 0.4000 | 0.5500 | 0.5500 | 35.00 | 20.00 | 18.50 | 0.75 | 1.00"
    assert f"| n, clean | {cells} |" in said
    assert "| n, clean | 1 | 2 |" in guarantee_section(tmp_path, without={("n", "1")})
    assert "2 of 2 label maps keep all rules; 0 are left by refining or by the repair, and named." in said


def test_the_stock_model_has_a_row_per_kind_and_step(tmp_path):
    rows = ["clean,predicted,x,0.5,4", "clean,predicted,y,0.7,6", "clean,refined,x,0.6,3", "clean,refined,y,0.8,5"]
    (tmp_path / STOCK_FILE).write_text("\n".join(["kind,what,case,dice,hausdorff_mm", *rows]) + "\n")

    said = stock_section(tmp_path)

    assert "| clean | predicted | 2 | 0.6000 | 5.00 |" in said
    assert "| clean | refined | 2 | 0.7000 | 4.00 |" in said
