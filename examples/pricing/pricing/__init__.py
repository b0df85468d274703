"""An example service that quotes prices, in versions of which most have something wrong with them."""
