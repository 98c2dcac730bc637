#!/usr/bin/env python3
"""Draws docs/vit_s.svg: top-1 of the ViT-S over the share of neurons removed, from the sweep's table in
docs/results_appendix.md. Run it in docs/ after the table has changed."""
import pathlib
import re

DENSE = 92.2
LINES = (("the paper's method", "mean-shift", "variance", "#d55e00"),
         ("the paper's choice, weights refitted", "refit", "variance", "#e69f00"),
         ("vbp's default", "sequential-all", "greedy", "#0072b2"))
LEFT, RIGHT, TOP, BOTTOM = 64, 920, 96, 400  # of the plot, in pixels
LOW, HIGH, MOST = 55.0, 95.0, 80.0           # top-1 at bottom and top, share removed at the right


def table(text):
    """(compensation, criterion) -> the list of (share removed, top-1)."""
    rows, shares = {}, []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[:2] == ["compensation", "criterion"]:
            shares = [float(cell.rstrip(" %")) for cell in cells[2:]]
        elif shares and len(cells) == len(shares) + 2:
            values = [re.match(r"[\d.]+", cell) for cell in cells[2:]]
            if all(values):
                rows[cells[0], cells[1]] = list(zip(shares, (float(value.group()) for value in values)))
        elif not line.startswith("|"):
            shares = []
    return rows


def x(share):
    return LEFT + share / MOST * (RIGHT - LEFT)


def y(top1):
    return BOTTOM - (top1 - LOW) / (HIGH - LOW) * (BOTTOM - TOP)


def main():
    here = pathlib.Path(__file__).parent
    rows = table((here / "results_appendix.md").read_text())
    out = ['<?xml version="1.0" encoding="UTF-8"?>',
           '<svg xmlns="http://www.w3.org/2000/svg" role="img" width="1000" height="460" viewBox="0 0 1000 460" '
           'font-family="Helvetica, Arial, \'Liberation Sans\', \'DejaVu Sans\', sans-serif" font-size="13" fill="#222222">',
           "<title>Pruning a ViT-S without training</title>",
           '<rect x="0" y="0" width="1000" height="460" fill="#ffffff"/>',
           '<text x="64" y="34" font-size="19" font-weight="bold">Pruning a ViT-S without training</text>',
           '<text x="64" y="57" fill="#555555">Fine-tuned DINOv2 on CIFAR-10; 1,000 unlabelled images calibrate, '
           'top-1 on 1,000 test images.</text>',
           f'<text x="64" y="{TOP - 12}" fill="#444444">top-1, %</text>']
    for top1 in range(int(LOW), int(HIGH) + 1, 5):
        out += [f'<line x1="{LEFT}" y1="{y(top1):.1f}" x2="{RIGHT}" y2="{y(top1):.1f}" stroke="#e3e3e3"/>',
                f'<text x="{LEFT - 9}" y="{y(top1) + 4.5:.1f}" text-anchor="end" fill="#444444">{top1}</text>']
    for share in range(0, int(MOST) + 1, 10):
        out += [f'<line x1="{x(share):.1f}" y1="{BOTTOM}" x2="{x(share):.1f}" y2="{BOTTOM + 5}" stroke="#888888"/>',
                f'<text x="{x(share):.1f}" y="{BOTTOM + 20}" text-anchor="middle" fill="#444444">{share}</text>']
    out.append(f'<text x="{(LEFT + RIGHT) / 2}" y="{BOTTOM + 42}" text-anchor="middle" fill="#444444">'
               'hidden neurons removed, %</text>')
    for place, (label, compensation, criterion, colour) in enumerate(LINES):
        points = [(0.0, DENSE)] + rows[compensation, criterion]
        path = " ".join(f"{x(share):.1f},{y(top1):.1f}" for share, top1 in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        out += [f'<circle cx="{x(share):.1f}" cy="{y(top1):.1f}" r="4" fill="{colour}"/>' for share, top1 in points]
        share, top1 = points[-1]
        out.append(f'<text x="{x(share) + 10:.1f}" y="{y(top1) + 4.5:.1f}" font-weight="bold" fill="{colour}">'
                   f'{top1:.1f}</text>')
        line = BOTTOM - 30 - 22 * (len(LINES) - 1 - place)
        out += [f'<line x1="90" y1="{line}" x2="116" y2="{line}" stroke="{colour}" stroke-width="2.5"/>',
                f'<text x="124" y="{line + 4.5}">{label}</text>']
    (here / "vit_s.svg").write_text("\n".join(out + ["</svg>", ""]))


if __name__ == "__main__":
    main()
