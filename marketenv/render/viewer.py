"""An episode as a page on which a slider chooses the round; it opens offline, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from marketenv.render.html import page

STYLE = """
body { max-width: 74rem; }
.controls { position: sticky; top: 0; background: #fff; padding: .6rem 0; display: flex;
  gap: .6rem; align-items: center; z-index: 1; border-bottom: 1px solid #ddd; }
.controls input { flex: 1; min-width: 4rem; } .controls output { white-space: nowrap; }
.controls button { font-size: 1.1rem; min-width: 2.6rem; min-height: 2.2rem; }
.slide { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr));
  gap: 0 2rem; align-items: start; } .slide[hidden] { display: none; }
.slide h3, .slide .below { grid-column: 1 / -1; } .slide h3 { margin: 1rem 0 0; }
.slide > div { min-width: 0; } .slide h4 { margin: 1.2rem 0 .3rem; }
.drawing { overflow-x: auto; } .drawing img { max-width: none; width: 100%; min-width: 21rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; margin: 0; }
details summary { cursor: pointer; }
.below td:nth-child(2), .below th:nth-child(2) { text-align: left; }
@media (max-width: 40rem) { td, th { padding: .25rem .4rem; white-space: normal; } }
"""
# Slides are hidden by the script alone: without it, all of them stand below one another.
SCRIPT = """
const slides = [...document.querySelectorAll('.slide')];
const slider = document.querySelector('.controls input');
const shown = document.querySelector('.controls output');
function go(k) {
  k = Math.max(0, Math.min(slides.length - 1, k));
  slider.value = k;
  slides.forEach((slide, i) => { slide.hidden = i !== k; });
  shown.textContent = slides[k].dataset.name + ' of ' + slides.length;
}
const step = by => go(Number(slider.value) + by);
slider.addEventListener('input', () => go(Number(slider.value)));
document.querySelector('.controls .back').addEventListener('click', () => step(-1));
document.querySelector('.controls .on').addEventListener('click', () => step(1));
document.addEventListener('keydown', event => {
  if (event.target === slider || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === 'ArrowLeft') step(-1);
  if (event.key === 'ArrowRight') step(1);
});
document.querySelector('.controls').hidden = false;
go(0);
"""


@dataclass(frozen=True, kw_only=True)
class Slide:
    """One round, with tables as (title, HTML).

    picture: an image as HTML;   words: text, which stands beside it where the page is wide
    tables: below the picture;   below: across the page
    """

    heading: str
    picture: str
    words: str
    tables: Sequence[tuple[str, str]] = ()
    below: Sequence[tuple[str, str]] = ()

    def html(self) -> str:
        """The slide as HTML; heading, words and titles are escaped."""
        heading = escape(self.heading)
        words = ("in words", f"<pre>{escape(self.words)}</pre>")
        return (
            f'<div class="slide" data-name="{heading}"><h3>{heading}</h3>'
            f'<div><div class="drawing">{self.picture}</div>{_titled(self.tables)}</div>'
            f'<div>{_titled([words])}</div><div class="below">{_titled(self.below)}</div></div>'
        )


def _titled(parts: Sequence[tuple[str, str]]) -> str:
    return "".join(f"<h4>{escape(title)}</h4>{inner}" for title, inner in parts)


def episode_page(
    title: str, intro: str, slides: Sequence[Slide], sections: Sequence[tuple[str, str]] = ()
) -> str:
    """One HTML document: a slider over slides, then sections of (heading, inner HTML).

    The arrow keys and two buttons go to the slide before and after. ValueError without a slide.
    """
    if not slides:
        raise ValueError("slides is empty, wanted at least one round: play one before the page.")
    controls = (
        '<div class="controls" hidden><button class="back" aria-label="round before">&#8592;'
        '</button><input type="range" min="0" step="1" value="0" aria-label="round"'
        f' max="{len(slides) - 1}"><button class="on" aria-label="next round">&#8594;</button>'
        "<output></output></div>"
    )
    rounds = controls + "".join(slide.html() for slide in slides) + f"<script>{SCRIPT}</script>"
    return page(title, intro, [("Rounds", rounds), *sections], STYLE)
