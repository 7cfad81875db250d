"""Tests `/docs` and `/errors` in a browser. On `/docs`, Authorize fetches a token; a private route answers 200 with
it and 401 without it. `/errors` is black on white in the light color scheme, white on black in the dark one."""

import sys

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

import dev


def run(service, screenshot):
    options = webdriver.ChromeOptions()
    for option in ["--headless=new", "--no-sandbox", "--window-size=1200,1500"]:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    try:
        page(driver, service, screenshot)
        errors(driver, service)
    finally:
        driver.quit()


def page(driver, service, screenshot):
    wait = WebDriverWait(driver, 15)

    def press(selector):
        wait.until(lambda d: d.find_elements(By.CSS_SELECTOR, selector))
        element = driver.find_element(By.CSS_SELECTOR, selector)
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        driver.execute_script("arguments[0].click()", element)

    def status(expected):
        live = f"{route} .live-responses-table .response-col_status"
        wait.until(lambda d: any(e.text.startswith(expected) for e in d.find_elements(By.CSS_SELECTOR, live)))

    route = "#operations-API-get_api_private"
    driver.get(f"{service}/docs")
    press(".btn.authorize")
    press(".modal-ux input[type=checkbox]")
    press(".modal-ux .auth-container:has(input[type=checkbox]) .btn.authorize")
    press(".modal-ux .btn-done")
    press(f"{route} .opblock-summary-control")
    press(f"{route} .btn.execute")
    status("200")
    body = driver.find_element(By.CSS_SELECTOR, f"{route} .live-responses-table").text
    assert '"sub": "dev@clients"' in body, body
    if screenshot:
        driver.save_screenshot(screenshot)

    press(".btn.authorize")
    logout = wait.until(lambda d: d.find_element(By.XPATH, "//div[@class='modal-ux']//button[text()='Logout']"))
    driver.execute_script("arguments[0].click()", logout)
    press(".modal-ux .btn-done")
    press(f"{route} .btn.execute")
    status("401")
    loud = [e for e in driver.get_log("browser") if e["level"] == "SEVERE" and "401" not in e["message"]]
    assert not loud, loud
    print("/docs: 200 with the token from Authorize, 401 after logging out")


def errors(driver, service):
    for scheme, ink in [("light", "rgb(0, 0, 0)"), ("dark", "rgb(255, 255, 255)")]:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        driver.get(f"{service}/errors/wrong_audience")
        # Only the root element has a color; the elements on it are transparent
        found = driver.execute_script("return getComputedStyle(document.documentElement).color")
        assert found == ink, (scheme, found)
        driver.find_element(By.LINK_TEXT, "Errors").click()
        assert driver.find_elements(By.LINK_TEXT, "token_expired"), scheme
    print("/errors: light and dark color scheme")


def main():
    process, service = dev.start(sys.argv[1])
    try:
        run(service, sys.argv[2] if len(sys.argv) > 2 else None)
    finally:
        process.terminate()
        process.wait()


main()
