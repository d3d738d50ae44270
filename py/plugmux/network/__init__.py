"""Links over a network: certificates and identities, dialling and listening, names that stand for several addresses."""
