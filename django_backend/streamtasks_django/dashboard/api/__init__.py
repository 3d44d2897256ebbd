"""The dashboard's JSON API: everything that its pages show and change, for programs."""
