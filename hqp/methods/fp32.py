"""The trained model, exported as it is: what every other method is compared with."""

from hqp.records import Recipe

recipe = Recipe()
