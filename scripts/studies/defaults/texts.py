"""The written parts of docs/evidence/defaults.md."""

INTRODUCTION = """# What mirroring, hidden parts and the prior bring

Made from `benchmarks/defaults/` by `python -m scripts.studies.defaults report`. Arms, test images and the rule that
chooses are in `scripts/studies/defaults/arms.py`, which was committed before any run was read. Added after others had
been read: the arms at gradient ratios of 0.1 and 1.0 and on a box, and those with adjusted logits.

Networks are U-Nets of half width, trained on 20 hippocampi for 1500 steps, or on 16 hearts (32 images) for 1000.
Each row differs from its baseline in one thing. Differences are means over labels, images and seeds, arm − baseline,
with 95 % intervals from draws of patients and seeds together. With one seed the interval covers patients only.
Most networks were trained on an NVIDIA H200 (nnU-Net's float16 autocast); on a CPU (float32) hippocampi of seed 3 and
above, of five training cases and, under the paper's loss, of seed 2, and hearts of seeds 2 and
3 of `none_pc_unmirrored`, `hybrid_pc_outside_unmirrored` and `paper_ratio_0.1_unmirrored`: `runs.json` says which. A
row takes the seeds whose two arms ran on the same.
`hidden_parts`, "as it was": until 28 November 2026 a patch with a hidden part was z-scored by itself, so that it looked
like no test image where a patch is not the whole image, and lost its changes of brightness and contrast. The other rows
are of today's, which keeps a patch's own mean and contrast.
Runs under nnU-Net's loss with a label below Dice 0.3 on clean images failed, and a failed baseline is no win: they are
in `benchmarks/` and in no row (FAILED). Under the paper's loss every seed of hearts has little Dice in the right
ventricle (.25 to .33 without a prior and with the paper's), since the loss spreads it. Those count.
Rows may have other seeds than each other; a row's two arms have the same.
No network mirrors at prediction time, the ones that mirror in training included (nnU-Net's `--disable_tta`), but for
`none_mirrored_prediction`: nnU-Net as it comes, whose predictions are the mean over all mirrorings. This arm was added
after the others had been read.

- **clean**: images as they are.
- **study's kinds**: noise, an occluded slab, slice motion, dropped slices. `hidden_parts` shows slabs and dropped
  slices in training, so these two favour it.
- **TorchIO's kinds**: motion, ghosting, bias field, spike, blur, anisotropy, gamma, noise, swap, with TorchIO's own
  strengths. Nobody here wrote them.
- **largest component**: Hausdorff distance if only each label's largest component is kept. A gain that vanishes there
  was islands, which a clean-up removes as well.
- **logits adjusted**: the log of each label's share of the training voxels is added to the logits of the same network.
  The paper's loss weighs labels alike, so the rare ones spread; this takes it back without a training (Menon et al.,
  ICLR 2021). These networks are a CPU's, so that only seeds whose networks are too tell what adjusting brings.
  These arms were added after the others had been read, to question them; nothing was chosen by them.
"""

EARLIER = """## Measured with earlier versions

Not repeated; full tables: `git show e46a292:docs/evidence/defaults.md`. Confirmation cases, the study's kinds only;
intervals over patients.

| hippocampi, four seeds | clean: Dice | Hausdorff | study's kinds: Dice | Hausdorff |
| --- | ---: | ---: | ---: | ---: |
| `none` itself | .825 | 4.02 mm | .659 | 8.90 mm |
| not mirroring | +.018 [+.011, +.026] | −18 % | +.055 [+.044, +.066] | −21 % |
| hidden parts (two seeds) | +.001 [−.003, +.004] | +1 % | +.103 [+.089, +.116] | −50 % |
| the prior | +.003 [+.001, +.004] | −6 % | +.009 [+.006, +.013] | −2 % |

| hearts, four seeds | clean: Dice | Hausdorff | study's kinds: Dice | Hausdorff |
| --- | ---: | ---: | ---: | ---: |
| `none` itself | .688 | 115 mm | .563 | 132 mm |
| not mirroring | +.063 [+.045, +.078] | −15 % | +.053 [+.037, +.068] | −12 % |
| the prior | +.002 [−.002, +.005] | 0 % | −.004 [−.006, −.001] | 0 % |

Decided then, on hippocampi's selection cases, clean images, Dice against the same arm without a prior:

- Mirrored priors: +.004 with `patch_0.3_decoded` (four seeds), +.009 with `roi_0.3_decoded` (one).
- Prior on the whole patch instead of a box, not mirrored: +.001 (four seeds), where the box has +.002.
- Weights 0.1 and 1.0: 0 to +.001, and −.008 (one seed).
- Whitened codes, feature maps, reconstructions: −.005, −.002, −.005 (one seed).
- A prior of all 160 label maps: +.006 (one seed).
- Under the per-class loss on top of the hybrid prior, clean selection cases: feature maps +.002, Hausdorff distance
  +3 % (seed 0); reconstructions +.002, +15 % (seed 2; on confirmation cases +.005, +17 %). They do not deal with the
  islands; both terms were taken out.
- The mean cross-entropy over all voxels instead of per class: Dice .43 without a prior, .48 with one (one seed).
"""
