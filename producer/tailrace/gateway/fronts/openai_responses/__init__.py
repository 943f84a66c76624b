"""The front of OpenAI's Responses: `/v1/responses` for every provider, for as long as a job is kept."""
