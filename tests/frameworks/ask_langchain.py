"""Asks a gateway with LangChain."""

from typing import Any

from asked import ASK, QUESTION, answer, look_up, run
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

TOOL = tool(look_up)


def model_of(api: str, name: str, url: str) -> BaseChatModel:
    if api == "messages":
        return ChatAnthropic(model=name, base_url=url, api_key="k")
    # With another base URL, LangChain asks for the usage of a stream only if it is told to.
    return ChatOpenAI(
        model=name, base_url=f"{url}/v1", api_key="k", use_responses_api=api == "responses", stream_usage=True
    )


def told(text: str, *messages: AIMessage | AIMessageChunk) -> dict[str, Any]:
    usages = [message.usage_metadata for message in messages]
    return answer(text, sum(usage["input_tokens"] for usage in usages), sum(usage["output_tokens"] for usage in usages))


async def ask(api: str, name: str, url: str) -> dict[str, Any]:
    model = model_of(api, name, url)
    chat = await model.ainvoke([("system", "Be brief."), ("user", QUESTION)])
    calling = model.bind_tools([TOOL])
    call = await calling.ainvoke([HumanMessage(ASK)])
    results = [await TOOL.ainvoke(each) for each in call.tool_calls]
    last = await calling.ainvoke([HumanMessage(ASK), call, *results])
    chunks = [chunk async for chunk in model.astream(QUESTION)]
    whole = sum(chunks[1:], chunks[0])
    return {
        "chat": told(chat.text, chat),
        "loop": told(last.text, call, last),
        "stream": told(whole.text, whole),
    }


run(ask)
