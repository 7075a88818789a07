"""Pictures: how like the wanted ones the drawn ones are, row by row, and as a set in the features of a network."""

from __future__ import annotations

from trimtab.metrics import Drawn, Metric, Statistic, mean
from trimtab.metrics._pictures import of_pictures, peak_ratio, structural_similarity


def _psnr(answers: Drawn) -> Statistic:
    return mean(of_pictures(answers, peak_ratio))


def _ssim(answers: Drawn) -> Statistic:
    return mean(of_pictures(answers, structural_similarity))


METRICS = (
    Metric(
        "psnr", "PSNR (dB)", "peak signal to noise, in decibels: the mean over the pictures, 100 of equal ones",
        "higher", of={Drawn: _psnr}, selects=True, tile=True,
    ),
    Metric(
        "ssim", "SSIM", "structural similarity with the wanted picture: 1 of equal ones", "higher", of={Drawn: _ssim},
        selects=True, tile=True,
    ),
    Metric(
        "frechet_distance", "Frechet distance",
        "of drawn from real test pictures, in the features of a small network that was trained on the same data",
        "lower", checked=True, apart=True, kinds=(Drawn,),
    ),
    Metric(
        "drawn_precision", "Precision of drawn pictures",
        "share of drawn pictures that lie among real ones, in the features of the same small network", "higher",
        share=True, checked=True, apart=True, kinds=(Drawn,),
    ),
    Metric(
        "drawn_recall", "Recall of drawn pictures",
        "share of real pictures that lie among drawn ones, in the features of the same small network", "higher",
        share=True, checked=True, apart=True, kinds=(Drawn,),
    ),
    Metric(
        "recognised", "Recognised",
        "share of pictures drawn for a class that a classifier of real pictures takes for it", "higher", share=True,
        checked=True, apart=True, tile=True, kinds=(Drawn,),
    ),
    Metric(
        "near_copies", "Near-copies", "share of drawn pictures that nearly are pictures of the training rows", "lower",
        share=True, checked=True, apart=True, of_making=True, kinds=(Drawn,),
    ),
)  # fmt: skip
