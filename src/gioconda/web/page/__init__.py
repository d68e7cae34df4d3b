"""The page in the browser, built from web/app."""
