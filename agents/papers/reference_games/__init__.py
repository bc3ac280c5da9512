"""Reference games: auctions and the double auction, whose equilibria are known."""
