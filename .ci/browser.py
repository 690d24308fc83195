"""The page of `biomass_app` in a real browser, at the width of a desk and of a phone.

Run by `make browser-test`. It needs Debian's chromium. The argument is a folder for screenshots.
"""
import shutil, sys, tempfile
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from playwright.sync_api import expect, sync_playwright

from biomass_nb.data import find_photos, read_test
from biomass_nb.paddock.app import serve_app
from biomass_nb.train import example_data, example_run

PORT, WIDTHS = 7871, {'desk': (1280, 900), 'phone': (390, 844)}
HERE = f'http://127.0.0.1:{PORT}'
ARGS = '--no-sandbox', '--disable-gpu', '--disable-background-networking'


@contextmanager
def opened(browser, width, height):
    "A page that asks no other machine, whose scripts raise no error, and that is not wider than its window."
    context = browser.new_context(viewport=dict(width=width, height=height), accept_downloads=True)
    page, foreign, errors = context.new_page(), [], []
    page.on('request', lambda r: r.url.startswith((HERE, 'data:', 'blob:')) or foreign.append(r.url))
    page.on('pageerror', lambda e: errors.append(str(e)))
    page.goto(HERE)
    expect(page.locator('#go')).to_be_visible(timeout=30_000)
    yield page
    assert page.evaluate('document.documentElement.scrollWidth') <= width, 'the page is too wide'
    assert not foreign, f'asks others: {foreign[:3]}'
    assert not errors, f'errors: {errors[:3]}'
    context.close()


def headline(page, says):
    "The mean at the top, once the headline says something."
    head = page.locator('#headline')
    expect(head).to_contain_text(says, timeout=90_000)
    return next(line for line in head.inner_text().splitlines() if 'kg/ha' in line)


def upload(page, photos):
    page.locator('#files input[type=file]').set_input_files([str(p) for p in photos])
    for p in photos: expect(page.locator('#files')).to_contain_text(Path(p).stem[:6], timeout=30_000)
    page.locator('#go').click()


def read_grams(page, photos, out):
    "Upload photos, and read what the page says of them."
    upload(page, photos)
    first = headline(page, f'by {len(photos)} photo')
    expect(page.locator('#gallery img')).to_have_count(len(photos), timeout=30_000)
    page.locator('#gallery img').first.click()
    expect(page.locator('#map img')).to_be_visible(timeout=60_000)
    page.screenshot(path=out, full_page=True)
    return first


def add_cuts(page, weights, out):
    "Write weights into the table, and correct the mean by them."
    page.get_by_text('Cut quadrats').click()
    for i, weight in enumerate(weights):
        cell = page.locator(f'#weights [data-testid="cell-{i}-1"]')
        cell.dblclick()
        field = cell.locator('input, textarea').first
        field.fill(str(weight))  # waits until the cell can be written into
        field.press('Enter')
        expect(cell).to_contain_text(str(weight))
    page.locator('#correct').click()
    after = headline(page, f'{len(weights)} cut quadrats')
    page.screenshot(path=out, full_page=True)
    return after


def download(page, name, to):
    "A file from the list at the end."
    with page.expect_download() as got:
        page.locator('#out').get_by_role('link').filter(has_text='B').nth(name).click()
    got.value.save_as(to)
    return to


def walk(browser, name, size, photos, out):
    "Upload three photos, read the grams, add cuts, take the table home."
    with opened(browser, *size) as page:
        before = read_grams(page, photos, out/f'{name}_grams.png')
        after = add_cuts(page, (80, 95, 70), out/f'{name}_cuts.png')
        table = pd.read_csv(download(page, 0, out/f'{name}.csv'))
    assert after != before, after
    assert sorted(table.photo) == sorted(p.name for p in photos), table.photo
    return f'{name}: {before}; with cuts {after}'


def two_at_once(browser, photos):
    "Two visitors see their own photos."
    with opened(browser, *WIDTHS['desk']) as a, opened(browser, *WIDTHS['desk']) as b:
        upload(a, photos[:1])
        upload(b, photos[1:3])
        for page, n in (a, 1), (b, 2):
            headline(page, f'by {n} photo')
            expect(page.locator('#gallery img')).to_have_count(n, timeout=30_000)


def wrong_file(browser, folder):
    "A file that is no photo gets one line."
    (folder/'notes.jpg').write_text('no photo')
    with opened(browser, *WIDTHS['phone']) as page:
        upload(page, [folder/'notes.jpg'])
        expect(page.get_by_text('cannot be read as a photo')).to_be_visible(timeout=60_000)


def main(out):
    out.mkdir(parents=True, exist_ok=True)
    data = example_data()
    photos = find_photos(read_test(data), data)[:3]
    app = serve_app(example_run(), data, port=PORT, block=False)
    with sync_playwright() as p, tempfile.TemporaryDirectory() as tmp:
        browser = p.chromium.launch(executable_path=shutil.which('chromium'), args=ARGS)
        for name, size in WIDTHS.items(): print(walk(browser, name, size, photos, out), flush=True)
        two_at_once(browser, photos)
        wrong_file(browser, Path(tmp))
        browser.close()
    app.close()
    print('the page works in a browser')


if __name__ == '__main__': main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()))
