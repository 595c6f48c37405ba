"""A web app that logs its users in through an OpenID Connect provider."""
