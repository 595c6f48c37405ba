"""People click through the example app in a real browser."""

import asyncio
import os
import re
import signal
import sys

from pathlib import Path

import aiohttp
import attrs
import pytest
import pytest_asyncio

from aiohttp.test_utils import unused_port
from playwright.async_api import Locator, Page, expect

from dexcore.testing.chromium import PHONE, chromium
from dexcore.testing.chromium import fits as fits_its_window

EXAMPLES = Path(__file__).parents[2] / "examples"

EMAIL, PASSWORD = "New.User@Example.com", "password123"


@attrs.frozen
class Site:
    """The example app, and the provider it logs in through."""

    app: str
    issuer: str


@pytest_asyncio.fixture
async def site(tmp_path):
    """Serve both as the README does, elsewhere and with an empty database."""
    ports = {port: unused_port() for port in ("5555", "5556", "5558")}
    app = f"http://127.0.0.1:{ports['5555']}"
    issuer = f"http://127.0.0.1:{ports['5556']}/dex"
    text = (EXAMPLES / "config-dev.yaml").read_text("utf-8")
    # All at once: a new port may begin like an old one.
    text = re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda old: str(ports[old[0]]), text)
    text = text.replace("var/sqlite/dex.db", str(tmp_path / "dex.db"))
    file = tmp_path / "config.yaml"
    file.write_text(text, "utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLES / "serve.py"), str(file), "--app", app),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told = b""
    try:
        async with asyncio.timeout(60):
            while b"stops both." not in told:
                line = await process.stdout.readline()
                assert line, told.decode()
                told += line
        reading = asyncio.create_task(process.stdout.read())
        yield Site(app, issuer)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 60)
    assert code == 0, (told + await reading).decode()


@pytest_asyncio.fixture
async def open_page(requires_program, site):
    """Return what opens a page in a browser of its own; nothing may complain in it."""
    program = requires_program("chromium", install="apt-get install chromium")
    async with chromium(program, [f"{site.app}/", site.issuer]) as open_page:
        yield open_page


# — What somebody does -----------------------------------------------------------------


async def press(page: Page, name: str) -> None:
    """Click the only button of this *name*."""
    await page.get_by_role("button", name=name, exact=True).click()


def card(page: Page, title: str) -> Locator:
    return page.locator("section").filter(
        has=page.get_by_role("heading", name=title, exact=True)
    )


def claim(within: Locator, name: str) -> Locator:
    return within.locator("tr").filter(
        has=within.page.get_by_role("rowheader", name=name, exact=True)
    )


async def sign_up_on_the_way(page: Page, site: Site) -> None:
    """Begin a login at the app, find no account to use, and make one."""
    await page.goto(site.app)
    await press(page, "Log in")
    await page.get_by_role("link", name="Create an account").click()
    await page.get_by_label("Email address").fill(EMAIL)
    await page.get_by_label("User name").fill("newuser")
    await page.get_by_label("Password").fill(PASSWORD)
    await press(page, "Create account")
    await expect(page.get_by_role("heading")).to_have_text("Your account is ready")
    await expect(page.locator("main")).to_contain_text("new.user@example.com")


async def log_in(page: Page, site: Site) -> None:
    """Log in at the app, with a wrong password at first, and agree."""
    await page.goto(site.app)
    await press(page, "Log in")
    await page.get_by_role("link", name="Log in with Email").click()
    await page.get_by_label("Email Address").fill(EMAIL)
    await page.get_by_label("Password").fill("wrong")
    await press(page, "Log in")
    await expect(page.get_by_role("alert")).to_contain_text("Wrong Email Address")
    await page.get_by_label("Password").fill(PASSWORD)
    await press(page, "Log in")
    await expect(page.get_by_role("heading")).to_contain_text("Example App")
    await press(page, "Grant access")
    await expect(page).to_have_url(f"{site.app}/")


async def use_every_button(page: Page) -> None:
    """See the claims, refresh, ask who this is, revoke."""
    token = card(page, "ID token")
    await expect(token).to_contain_text("Signature verified")
    await expect(claim(token, "email")).to_contain_text("new.user@example.com")
    await expect(claim(token, "name")).to_contain_text("newuser")
    first = await claim(token, "jti").inner_text()
    await press(page, "Refresh")
    await expect(page.get_by_role("status")).to_contain_text("The tokens are new.")
    assert await claim(token, "jti").inner_text() != first
    await press(page, "UserInfo")
    told = page.get_by_role("status")
    await expect(claim(told, "email")).to_contain_text("new.user@example.com")
    await card(page, "Refresh token").get_by_role("button", name="Introspect").click()
    await expect(claim(told, "active")).to_contain_text("true")
    await card(page, "Refresh token").get_by_role("button", name="Revoke").click()
    await expect(told).to_contain_text("The refresh token is revoked.")
    await card(page, "Refresh token").get_by_role("button", name="Introspect").click()
    await expect(claim(told, "active")).to_contain_text("false")
    await press(page, "Refresh")
    await expect(told).to_contain_text("invalid_grant")
    await press(page, "Log out")
    await expect(page.get_by_role("heading")).to_have_text("Who are you?")


@pytest.mark.parametrize(
    "browser",
    [
        pytest.param({}, id="desktop"),
        pytest.param({"java_script_enabled": False}, id="no script"),
        pytest.param(
            {"viewport": PHONE, "color_scheme": "dark", "has_touch": True}, id="phone"
        ),
    ],
)
async def test_somebody_signs_up_logs_in_agrees_and_uses_every_button(
    open_page, site, browser
):
    page = await open_page(**browser)

    await sign_up_on_the_way(page, site)
    await log_in(page, site)
    await use_every_button(page)


async def test_after_signing_up_the_login_that_led_there_goes_on(open_page, site):
    page = await open_page()

    await sign_up_on_the_way(page, site)
    await page.get_by_role("link", name="Log in").click()
    await page.get_by_role("link", name="Log in with Email").click()
    await page.get_by_label("Email Address").fill(EMAIL)
    await page.get_by_label("Password").fill(PASSWORD)
    await press(page, "Log in")
    await press(page, "Grant access")

    await expect(page).to_have_url(f"{site.app}/")
    await expect(claim(card(page, "ID token"), "name")).to_contain_text("newuser")


async def test_who_does_not_agree_is_sent_back_and_the_app_says_so(open_page, site):
    page = await open_page()

    await page.goto(site.app)
    await press(page, "Log in")
    await page.get_by_role("link", name="Log in with Example", exact=True).click()
    await press(page, "Cancel")

    assert page.url.startswith(f"{site.app}/")
    await expect(page.get_by_role("alert")).to_contain_text("access_denied")


# — With the keyboard alone ------------------------------------------------------------


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until what is called *name* has the focus, and is seen to have it."""
    for _ in range(40):
        name_here = await page.evaluate(
            """() => {
                const here = document.activeElement;
                const label = here.labels && here.labels[0];
                return (label || here).innerText.trim().split("\\n")[0];
            }"""
        )
        if name_here == name:
            style = await page.evaluate(
                """() => {
                    const style = getComputedStyle(document.activeElement);
                    return [style.outlineStyle, style.boxShadow];
                }"""
            )
            assert style != ["none", "none"], f"the focus on {name!r} is not seen"
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"Tab never comes to {name!r} on {page.url}")


async def test_the_keyboard_alone_is_enough(open_page, site):
    page = await open_page()
    keys = page.keyboard

    async def enter(name: str, heading: str) -> None:
        await tab_to(page, name)
        await keys.press("Enter")
        title = page.get_by_role("heading", level=1)
        await expect(title).to_contain_text(heading)

    await page.goto(site.app)
    await enter("Log in", "Log in to dexcore")
    await enter("Create an account", "Create an account")
    # The first field is waiting.
    await keys.type(EMAIL)
    await tab_to(page, "User name")
    await keys.type("newuser")
    await tab_to(page, "Password")
    await keys.type(PASSWORD)
    await enter("Create account", "Your account is ready")
    await enter("Log in", "Log in to dexcore")
    await tab_to(page, "Log in with Email")
    await keys.press("Enter")
    await expect(page.get_by_label("Email Address")).to_be_focused()
    await keys.type(EMAIL)
    await tab_to(page, "Password")
    await keys.type(PASSWORD)
    await keys.press("Enter")
    await expect(page.get_by_role("heading")).to_contain_text("Grant access")
    await enter("Grant access", "Your tokens")
    await expect(claim(card(page, "ID token"), "name")).to_contain_text("newuser")


# — On a phone -------------------------------------------------------------------------


async def test_on_a_phone_every_page_fits(open_page, site):
    page = await open_page(viewport=PHONE)
    seen = []

    async def fits() -> None:
        await fits_its_window(page)
        seen.append(await page.title())

    await page.goto(site.issuer)
    await fits()
    await page.goto(f"{site.issuer}/auth?client_id=nobody")
    await fits()
    await page.goto(site.app)
    await fits()
    await press(page, "Log in")
    await fits()
    await page.get_by_role("link", name="Create an account").click()
    await fits()
    await page.go_back()
    await page.get_by_role("link", name="Log in with Email").click()
    await page.get_by_label("Email Address").fill("admin@example.com")
    await page.get_by_label("Password").fill("wrong")
    await press(page, "Log in")
    await fits()
    await page.get_by_label("Password").fill("password")
    await press(page, "Log in")
    await fits()
    await press(page, "Grant access")
    await fits()
    await page.goto(
        f"{site.issuer}/auth/mock?client_id=cli&response_type=code&scope=openid"
        "&redirect_uri=urn:ietf:wg:oauth:2.0:oob"
    )
    await press(page, "Grant access")
    await fits()

    assert len(set(seen)) >= 7, seen


# — A device that has no browser -------------------------------------------------------


async def begin_a_device(site: Site) -> dict[str, str]:
    """Ask for codes, as the command line client does on a machine without a browser."""
    form = {"client_id": "cli", "scope": "openid email"}
    codes = f"{site.issuer}/device/code"
    async with aiohttp.request("POST", codes, data=form) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def poll(site: Site, codes: dict[str, str]) -> dict[str, str]:
    form = {
        "client_id": "cli",
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": codes["device_code"],
    }
    token = f"{site.issuer}/token"
    async with aiohttp.request("POST", token, data=form) as answer:
        return await answer.json()


async def show(page: Page, name: str) -> None:
    """See that the page fits, and keep a picture of it for who wants to look."""
    await page.wait_for_load_state("load")
    wide = await page.evaluate("document.documentElement.scrollWidth")
    assert wide <= page.viewport_size["width"], f"{page.url} is {wide} pixels wide"
    if folder := os.environ.get("DEXCORE_TEST_PICTURES"):
        await page.screenshot(path=f"{folder}/{name}.png", full_page=True)


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_somebody_connects_a_device(open_page, site, width, colours):
    look = {"viewport": {"width": width, "height": 720}, "color_scheme": colours}
    page = await open_page(java_script_enabled=False, **look)
    codes = await begin_a_device(site)
    heading = page.get_by_role("heading", level=1)

    async def seen(name: str) -> None:
        await show(page, f"device-{name}-{width}-{colours}")

    await page.goto(codes["verification_uri"])
    code = page.get_by_label("Code")
    await expect(code).to_be_focused()
    await code.fill("BBBB-BBBB")
    await press(page, "Continue")
    await expect(page.get_by_role("alert")).to_contain_text("wrong or has expired")
    await expect(code).to_have_value("BBBB-BBBB")
    await seen("wrong")
    await page.goto(codes["verification_uri_complete"])
    await expect(code).to_have_value(codes["user_code"])
    await seen("code")
    await press(page, "Continue")
    await page.get_by_role("link", name="Log in with Example", exact=True).click()
    await expect(heading).to_contain_text("Grant access to")
    await seen("agree")
    assert (await poll(site, codes))["error"] == "authorization_pending"
    await press(page, "Grant access")
    await expect(heading).to_have_text("Device connected")
    await seen("connected")
    assert "access_token" in await poll(site, codes)
    await page.reload()
    await expect(page.locator("main")).to_contain_text("No device code was entered")
    await seen("error")


@pytest.mark.parametrize("width", [360, 1280])
async def test_somebody_refuses_a_device(open_page, site, width):
    page = await open_page(viewport={"width": width, "height": 720})
    codes = await begin_a_device(site)
    await page.goto(codes["verification_uri_complete"])
    await press(page, "Continue")
    await page.get_by_role("link", name="Log in with Example", exact=True).click()
    await press(page, "Cancel")
    await expect(page.get_by_role("heading", level=1)).to_have_text(
        "Device not connected"
    )
    await show(page, f"device-denied-{width}")
    assert (await poll(site, codes))["error"] == "access_denied"
