"""Values of the domain: frozen, validated once, standard library only."""
