"""What `doctor` looks at; each module looks at one part and shows no secret."""
