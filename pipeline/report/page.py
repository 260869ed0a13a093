"""The frame of a report: one HTML file with its style and script inside, which opens offline.

The script does two things only: it turns panoramas round the circle (all of a group together, by
dragging or the arrow keys), and switches and fades the layers of a viewer. Without it everything
is still there to be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from goodsam.data.files import write_whole

# What the page may load: what stands in it, nothing else.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def write_page(
    path: Path, title: str, lead: str, sections: Sequence[str], footer: str = ""
) -> None:
    """Write a page. title, lead and footer are text, sections are HTML (`section` of report)."""
    body = "\n".join(sections)
    write_whole(
        path,
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<header>
<h1>{escape(title)}</h1>
<p class="lead">{escape(lead)}</p>
</header>
{body}
<footer>{escape(footer)}</footer>
</main>
<script>{_SCRIPT}</script>
</body>
</html>
""",
    )


_STYLE = """
:root {
  --paper: #f6f7f9; --card: #ffffff; --ink: #1b1f24; --soft: #5c6672; --line: #dfe3e8;
  --before: #a9b3bf; --after: #0d8a7d; --good: #0b7a55; --bad: #c2334d; --heat: 13, 138, 125;
  --miss: 214, 69, 80; --shade: #eef1f4;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b; --card: #1d2127; --ink: #e7eaee; --soft: #9aa5b1; --line: #323840;
    --before: #5d6875; --after: #35bfae; --good: #4fcf9a; --bad: #ff7f90; --heat: 53, 191, 174;
    --miss: 255, 110, 120; --shade: #272c33;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main { max-width: 1180px; margin: 0 auto; padding: 20px 16px 48px; }
h1 { font-size: clamp(1.5rem, 4vw, 2.1rem); line-height: 1.2; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 1.2rem; margin: 0 0 4px; }
h3 { font-size: 1rem; margin: 20px 0 8px; }
p { margin: 0 0 12px; max-width: 75ch; }
.scroll + p { margin-top: 12px; font-size: 0.9rem; }
.lead { color: var(--soft); margin-top: 6px; }
.soft { color: var(--soft); }
section {
  background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 18px; margin-top: 16px;
}
footer { color: var(--soft); font-size: 0.85rem; margin-top: 20px; overflow-wrap: anywhere; }
.warning {
  max-width: none; border-left: 4px solid var(--bad); padding: 8px 12px; background: var(--shade);
}

.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; }
.tile {
  background: var(--shade); border-radius: 10px; padding: 10px 14px; display: flex;
  flex-direction: column;
}
.tile b { margin-top: auto; }
.tile b {
  display: block; font-size: 1.5rem; line-height: 1.25; font-variant-numeric: tabular-nums;
}
.tile span { color: var(--soft); font-size: 0.85rem; display: block; }

.strip {
  display: grid; gap: 14px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 500px),
  1fr));
}
figure { margin: 0; min-width: 0; }
figcaption { font-size: 0.88rem; color: var(--soft); margin-top: 5px; }
figcaption b { color: var(--ink); }
.number {
  display: inline-block; min-width: 1.55em; text-align: center; border-radius: 1em; margin-right:
  4px;
  background: var(--after); color: var(--card); font-weight: 600;
}
.pano {
  position: relative; overflow: hidden; border-radius: 8px; background: #000; width: 100%;
  cursor: grab; touch-action: pan-y; min-height: 110px; user-select: none;
  -webkit-user-select: none;
}
.pano:active { cursor: grabbing; }
.pano:focus-visible, input:focus-visible + span {
  outline: 3px solid var(--after); outline-offset: 2px;
}
.layer {
  position: absolute; inset: 0; background-repeat: repeat-x; background-size: auto 100%;
}
.layer.flat { image-rendering: pixelated; }
.viewer { margin-top: 18px; }
.viewer .pano { min-height: 170px; }
.controls { display: flex; flex-wrap: wrap; gap: 8px 18px; align-items: center; margin-top: 8px; }
fieldset { border: 0; padding: 0; margin: 0; display: flex; flex-wrap: wrap; gap: 6px; }
legend { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
fieldset label { cursor: pointer; }
fieldset input { position: absolute; opacity: 0; }
fieldset span {
  display: inline-block; padding: 5px 13px; border: 1px solid var(--line); border-radius: 2em;
  font-size: 0.9rem; background: var(--card);
}
fieldset input:checked + span {
  background: var(--after); border-color: var(--after); color: var(--card);
}
.fade { display: flex; align-items: center; gap: 8px; font-size: 0.9rem; color: var(--soft); }
input[type=range] { accent-color: var(--after); width: 130px; }

.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.95rem; }
.numbers { width: 100%; }
.numbers th, .numbers td {
  padding: 7px 10px; border-bottom: 1px solid var(--line); text-align: right;
}
.numbers th:first-child, .numbers td:first-child { text-align: left; }
.numbers thead th { color: var(--soft); font-weight: 600; font-size: 0.85rem; }
.numbers tr.chosen { background: var(--shade); font-weight: 600; }
.numbers.wide { font-size: 0.77rem; }
.numbers.wide th, .numbers.wide td { padding: 5px 3px; }
.numbers.wide thead th:not(:first-child) {
  writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; padding: 4px 0;
  white-space: nowrap;
}
.numbers.wide td:first-child {
  white-space: nowrap; position: sticky; left: 0; background: var(--card);
}
.numbers.wide tr.chosen td:first-child { background: var(--shade); }
.numbers small { display: block; color: var(--soft); font-weight: 400; }
.good { color: var(--good); } .bad { color: var(--bad); }

.bars {
  display: grid; grid-template-columns: max-content 1fr max-content; gap: 7px 12px; align-items:
  center; font-size: 0.92rem;
}
.bars .value { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.bar { height: 9px; border-radius: 5px; background: var(--after); min-width: 2px; }
.bar.none { min-width: 0; }
.bar + .bar { margin-top: 2px; }
.bar.before { background: var(--before); }
.track { background: var(--shade); border-radius: 5px; }
.swatch {
  display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 7px;
  vertical-align: -1px; border: 1px solid var(--line);
}
.legend {
  display: flex; flex-wrap: wrap; gap: 3px 14px; margin: 10px 0 0; max-width: none;
  font-size: 0.85rem; color: var(--soft);
}
.key { display: inline-block; width: 22px; height: 9px; border-radius: 5px; margin-right: 6px; }

.matrix { font-size: 0.72rem; border-spacing: 2px; border-collapse: separate; }
.matrix td { width: 34px; min-width: 27px; height: 25px; text-align: center; border-radius: 3px; }
.matrix th {
  font-weight: 400; color: var(--soft); white-space: nowrap; text-align: right; padding: 0 6px;
}
.matrix tbody th { position: sticky; left: 0; background: var(--card); }
.matrix thead th {
  writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; padding: 6px 0;
}

.charts {
  display: grid; gap: 14px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 250px),
  1fr));
}
.chart svg { width: 100%; height: auto; display: block; }
.chart text { fill: var(--soft); font-size: 11px; }
.chart .raw { stroke: var(--before); stroke-width: 1; fill: none; opacity: 0.7; }
.chart .smooth { stroke: var(--after); stroke-width: 2; fill: none; }
.chart .grid { stroke: var(--line); stroke-width: 1; }

dl {
  display: grid; grid-template-columns: max-content 1fr; gap: 3px 16px; margin: 0; font-size:
  0.9rem;
}
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
summary { cursor: pointer; color: var(--soft); }
details > *:not(summary) { margin-top: 10px; }
@media (max-width: 520px) {
  section { padding: 14px 12px; }
  .numbers th, .numbers td { padding: 6px 5px; font-size: 0.88rem; }
  .bars { gap: 8px; font-size: 0.85rem; }
  .tile b { font-size: 1.15rem; }
}
"""

_SCRIPT = """
'use strict';
for (const group of document.querySelectorAll('[data-circle]')) {
  const panos = [...group.querySelectorAll('.pano')];
  let turn = 0; // of the whole circle
  const draw = () => {
    for (const pano of panos) {
      const circle = Math.round(pano.clientHeight * Number(pano.dataset.aspect));
      for (const layer of pano.children) {
        layer.style.backgroundSize = circle + 'px 100%';
        layer.style.backgroundPositionX = Math.round(turn * circle) + 'px';
      }
    }
  };
  for (const pano of panos) {
    let from = null;
    pano.addEventListener('pointerdown', event => {
      from = event.clientX;
      pano.setPointerCapture(event.pointerId);
    });
    pano.addEventListener('pointermove', event => {
      if (from === null) return;
      turn += (event.clientX - from) / (pano.clientHeight * Number(pano.dataset.aspect));
      turn -= Math.floor(turn);
      from = event.clientX;
      draw();
    });
    for (const end of ['pointerup', 'pointercancel']) {
      pano.addEventListener(end, () => { from = null; });
    }
    pano.addEventListener('keydown', event => {
      const step = { ArrowLeft: 1 / 32, ArrowRight: -1 / 32 }[event.key];
      if (step === undefined) return;
      turn += step + 1;
      turn -= Math.floor(turn);
      draw();
      event.preventDefault();
    });
  }
  addEventListener('resize', draw);
  draw();
}
for (const viewer of document.querySelectorAll('.viewer')) {
  const layers = [...viewer.querySelectorAll('.layer')];
  const radios = [...viewer.querySelectorAll('input[type=radio]')];
  const fade = viewer.querySelector('input[type=range]');
  const show = () => {
    const chosen = radios.findIndex(radio => radio.checked);
    layers.forEach((layer, i) => {
      layer.style.opacity = i === 0 ? 1 : i === chosen ? fade.value / 100 : 0;
    });
    fade.disabled = chosen === 0;
  };
  for (const input of [...radios, fade]) input.addEventListener('input', show);
  viewer.addEventListener('keydown', event => {
    const chosen = radios[Number(event.key) - 1];
    if (!chosen || event.target === fade) return;
    chosen.checked = true;
    show();
  });
  show();
}
"""
