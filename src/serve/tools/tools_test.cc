#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "llm/answer/schema_check.h"
#include "serve/testing/endpoint_rig.h"
#include "serve/tools/chat_answer.h"
#include "serve/tools/chat_turn.h"

namespace throng::serve {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// A family's form, with thoughts and two variables.
constexpr const char* kHermes =
    "{%- if tools %}<|im_start|>system\n{% for t in tools %}{{ t | tojson }}\n{% endfor %}"
    "answer <tool_call></tool_call><|im_end|>\n{% endif %}"
    "{%- for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
    "{%- if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    "{%- for c in m.tool_calls %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{%- if enable_thinking is defined %}{{ '<think>\n' if enable_thinking else '<think>\n\n</think>\n\n' }}"
    "{%- endif %}{% endif %}";

const Json kWeather = Json::parse(R"({
  "type": "object",
  "properties": {"city": {"type": "string", "maxLength": 8}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
  "required": ["city", "days"], "additionalProperties": false})");
const Json kSide = Json::parse(
    R"({"type": "object", "properties": {"side": {"enum": ["left", "right"]}}, "required": ["side"]})");

Json Function(const char* name, const Json& parameters) {
  return {{"type", "function"},
          {"function",
           {{"name", name}, {"description", "It does."}, {"parameters", parameters}, {"strict", true}}}};
}

const Json kTools = {Function("weather", kWeather), Function("turn", kSide)};

class ToolsRig : public EndpointRig {
 protected:
  using EndpointRig::EndpointRig;

  static Json Body(Json more = Json::object()) {
    Json body = {{"messages", {{{"role", "user"}, {"content", "a"}}}},
                 {"seed", 7},
                 {"max_tokens", 400},
                 {"tools", kTools}};
    body.update(more);
    return body;
  }

  static void ExpectValid(const Json& call) {
    EXPECT_EQ(call["type"], "function");
    const std::string name = call["function"]["name"];
    const Json arguments = Json::parse(call["function"]["arguments"].get<std::string>(), nullptr, false);
    ASSERT_FALSE(arguments.is_discarded()) << call;
    EXPECT_EQ(llm::SchemaCheck((name == "turn" ? kSide : kWeather).dump()).WhatIsWrong(arguments), "")
        << call;
  }

  // The messages that the chunks of a stream add up to, by choice; ids apart.
  static std::vector<Json> Joined(const std::vector<Json>& events) {
    std::vector<Json> choices;
    for (const Json& event : events) {
      if (!event.is_object() || event["choices"].empty()) continue;
      const Json& chunk = event["choices"][0];
      const size_t index = chunk["index"];
      if (choices.size() <= index) choices.resize(index + 1, {{"tool_calls", Json::array()}});
      Json& choice = choices[index];
      for (const char* name : {"content", "reasoning_content"}) {
        if (chunk["delta"].contains(name))
          choice[name] = choice.value(name, "") + chunk["delta"][name].get<std::string>();
      }
      if (chunk["delta"].contains("tool_calls")) {
        for (const Json& piece : chunk["delta"]["tool_calls"]) {
          const size_t number = piece["index"];
          Json& calls = choice["tool_calls"];
          if (number == calls.size()) {
            EXPECT_TRUE(piece["id"].is_string() && piece["type"] == "function");
            calls.push_back(piece["function"]);
            EXPECT_EQ(piece["function"]["arguments"], "");
          } else {
            EXPECT_EQ(number + 1, calls.size());
            EXPECT_FALSE(piece.contains("id") || piece["function"].contains("name"));
            calls[number]["arguments"] = calls[number]["arguments"].get<std::string>() +
                                         piece["function"]["arguments"].get<std::string>();
          }
        }
      }
      if (!chunk["finish_reason"].is_null()) choice["finish_reason"] = chunk["finish_reason"];
      if (chunk["logprobs"].is_object())
        choice["tokens"] = choice.value("tokens", 0) + chunk["logprobs"]["content"].size();
    }
    return choices;
  }

  // The prompt of a chat.
  std::string Prompt(model::ChatInput chat, const Json& fields) {
    const JsonFields read(kChat, fields);
    engine::TextRequest request;
    SetTurn(model_, std::move(chat), ParseTools(read, true), ParseThoughts(read), request);
    return model_.Loaded().tokenizer->Decode(std::get<std::vector<int32_t>>(request.prompt));
  }
};

class OwnToolsTest : public ToolsRig {};
class HermesTest : public ToolsRig {
 protected:
  HermesTest() : ToolsRig(kHermes) {}
};
// The same with tokens for what marks calls and thoughts.
class HermesTokensTest : public ToolsRig {
 protected:
  HermesTokensTest() : ToolsRig(kHermes, {"<tool_call>", "</tool_call>", "<think>", "</think>"}) {}
};

TEST_F(OwnToolsTest, RequiredCallsFollowTheirSchemas) {
  for (const int seed : {1, 2, 3}) {
    const Json asked = {
        {"tool_choice", "required"}, {"n", 3}, {"seed", seed}, {"temperature", 3}, {"logprobs", true}};
    const Json whole = Post(ChatCompletions, Body(asked));
    const std::vector<Json> streamed = Joined(Stream(ChatCompletions, Body(asked)));
    ASSERT_EQ(whole["choices"].size(), 3u);
    std::set<std::string> ids;
    size_t num_calls = 0;
    for (const Json& choice : whole["choices"]) {
      const Json& message = choice["message"];
      EXPECT_EQ(message["role"], "assistant");
      EXPECT_TRUE(message["content"].is_null()) << message;
      EXPECT_FALSE(message.contains("reasoning_content"));
      EXPECT_GE(choice["logprobs"]["content"].size(), 40u);
      const Json& stream = streamed.at(choice["index"]);
      EXPECT_EQ(stream["finish_reason"], choice["finish_reason"]);
      EXPECT_EQ(stream["tokens"], choice["logprobs"]["content"].size());
      if (choice["finish_reason"] != "length") {
        EXPECT_EQ(choice["finish_reason"], "tool_calls");
        for (const Json& call : message["tool_calls"]) ExpectValid(call);
      }
      ASSERT_EQ(stream["tool_calls"].size(), message["tool_calls"].size());
      for (size_t i = 0; i < message["tool_calls"].size(); ++i, ++num_calls) {
        EXPECT_EQ(stream["tool_calls"][i], message["tool_calls"][i]["function"]);
        EXPECT_THAT(message["tool_calls"][i]["id"].get<std::string>(), StartsWith("call_"));
        ids.insert(message["tool_calls"][i]["id"]);
      }
    }
    EXPECT_EQ(ids.size(), num_calls);
  }
}

TEST_F(OwnToolsTest, ChoicesOfTools) {
  const auto message = [&](const Json& more) {
    return Post(ChatCompletions, Body(more))["choices"][0]["message"];
  };
  for (const int seed : {1, 2, 3}) {
    const Json named = {{"type", "function"}, {"function", {{"name", "turn"}}}};
    const Json calls =
        message({{"seed", seed}, {"tool_choice", named}, {"parallel_tool_calls", false}})["tool_calls"];
    ASSERT_EQ(calls.size(), 1u);
    EXPECT_EQ(calls[0]["function"]["name"], "turn");
    ExpectValid(calls[0]);
    const Json no_end = {{"2", -100}};
    for (const Json& none : {Json("none"), Json("auto")}) {
      const Json free = message({{"seed", seed}, {"tool_choice", none}, {"max_tokens", 20}});
      EXPECT_TRUE(free["content"].is_string());  // by chance, no call begins
      EXPECT_FALSE(free.contains("tool_calls"));
      const Json cut = {{"seed", seed}, {"tool_choice", none}, {"max_tokens", 20}, {"logit_bias", no_end}};
      EXPECT_EQ(Post(ChatCompletions, Body(cut))["choices"][0]["finish_reason"], "length");
    }
  }
  // Some of the tools: the model sees all of them, and calls these alone.
  const auto allowed = [](const char* mode, std::vector<const char*> names) {
    Json functions = Json::array();
    for (const char* name : names)
      functions.push_back({{"type", "function"}, {"function", {{"name", name}}}});
    return Json{{"type", "allowed_tools"}, {"allowed_tools", {{"mode", mode}, {"tools", functions}}}};
  };
  const auto functions = [](const Json& answer) {
    Json called = Json::array();
    for (const Json& call : answer["tool_calls"]) called.push_back(call["function"]);
    return called;
  };
  const auto prompt_tokens = [&](const Json& choice) {
    return Post(ChatCompletions, Body({{"tool_choice", choice}}))["usage"]["prompt_tokens"];
  };
  EXPECT_EQ(prompt_tokens(allowed("required", {"turn"})), prompt_tokens("required"));
  for (const int seed : {1, 2, 3, 4}) {
    const Json calls =
        message({{"seed", seed}, {"tool_choice", allowed("required", {"turn"})}})["tool_calls"];
    ASSERT_GE(calls.size(), 1u);
    for (const Json& call : calls) EXPECT_EQ(call["function"]["name"], "turn");
    const Json both = allowed("required", {"turn", "weather", "turn"});
    EXPECT_EQ(functions(message({{"seed", seed}, {"tool_choice", both}})),
              functions(message({{"seed", seed}, {"tool_choice", "required"}})));
    const Json free =
        message({{"seed", seed}, {"tool_choice", allowed("auto", {"turn"})}, {"max_tokens", 20}});
    EXPECT_TRUE(free["content"].is_string());
  }
  const std::pair<const char*, Json> wrong[] = {
      {"tool_choice.allowed_tools", {{"type", "allowed_tools"}}},
      {"tool_choice.allowed_tools.mode", allowed("none", {"turn"})},
      {"tool_choice.allowed_tools.tools", allowed("auto", {})},
      {"tool_choice.allowed_tools.tools[1].function.name", allowed("auto", {"turn", "x"})},
  };
  for (const auto& [param, choice] : wrong)
    EXPECT_EQ(Refused(ChatCompletions, Body({{"tool_choice", choice}}).dump())["param"], param) << choice;
  // A text in a form, or calls.
  const Json format = {{"type", "json_schema"}, {"json_schema", {{"name", "x"}, {"schema", {{"const", 5}}}}}};
  const Json either = message({{"response_format", format}});
  EXPECT_TRUE(either["content"] == "5" || either.contains("tool_calls")) << either;
}

TEST_F(OwnToolsTest, OnceBegunACallIsOne) {
  engine::TextRequest request;
  const Json body = Body();
  SetTurn(model_, std::vector<model::ChatMessage>{{"user", "a"}}, ParseTools(JsonFields(kChat, body), true),
          {}, request);
  engine::Matcher matcher(model_.MakeRequest(request).constraint);
  const auto take = [&](std::string_view bytes) {
    return std::ranges::all_of(bytes,
                               [&](char byte) { return matcher.Accept(3 + static_cast<uint8_t>(byte)); });
  };
  EXPECT_TRUE(take("I see. <tool_ca <tool_call>"));
  EXPECT_FALSE(matcher.IsComplete());
  EXPECT_FALSE(take("x"));
  EXPECT_TRUE(take("\n{\"name\": \"turn\", \"arguments\": {\"side\":\"l"));
  EXPECT_EQ(matcher.OnlyToken(), 3 + 'e');
  EXPECT_TRUE(take("eft\"}}\n</tool_call>"));
  EXPECT_TRUE(matcher.IsComplete());
  EXPECT_FALSE(take(" and"));
}

TEST_F(OwnToolsTest, ACallThatIsCutShort) {
  const Json asked = {{"tool_choice", "required"}, {"max_tokens", 55}};
  const Json choice = Post(ChatCompletions, Body(asked))["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "length");
  ASSERT_EQ(choice["message"]["tool_calls"].size(), 1u) << choice;
  const std::string arguments = choice["message"]["tool_calls"][0]["function"]["arguments"];
  EXPECT_FALSE(Json::accept(arguments)) << arguments;
  EXPECT_EQ(Joined(Stream(ChatCompletions, Body(asked)))[0]["tool_calls"][0]["arguments"], arguments);
  for (const int tokens : {9, 20}) {  // before the tool is named
    const Json early =
        Post(ChatCompletions, Body({{"tool_choice", "required"}, {"max_tokens", tokens}}))["choices"][0];
    EXPECT_EQ(early["message"]["content"], "");
    EXPECT_FALSE(early["message"].contains("tool_calls"));
    EXPECT_EQ(early["finish_reason"], "length");
  }
}

TEST_F(OwnToolsTest, TheModelIsToldInOurWords) {
  model::ChatInput chat;
  const Json call = {{"id", "c"},
                     {"type", "function"},
                     {"function", {{"name", "turn"}, {"arguments", "{\"side\":\"left\"}"}}}};
  chat.messages = {{{"role", "system"}, {"content", "Be brief."}},
                   {{"role", "user"}, {"content", "Go."}},
                   {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {call, call}}},
                   {{"role", "tool"}, {"tool_call_id", "c"}, {"content", "done"}},
                   {{"role", "tool"}, {"tool_call_id", "c"}, {"content", "twice"}}};
  const std::string prompt = Prompt(chat, Body());
  EXPECT_THAT(prompt, StartsWith("<|im_start|>system\nBe brief.\n\nYou can call tools."));
  EXPECT_THAT(prompt,
              HasSubstr(R"({"name":"weather","description":"It does.","parameters":{"type":"object")"));
  EXPECT_THAT(prompt,
              HasSubstr("assistant\n<tool_call>\n{\"name\": \"turn\", \"arguments\": {\"side\":\"left\"}}\n"
                        "</tool_call>\n<tool_call>"));
  EXPECT_THAT(prompt, HasSubstr("user\n<tool_response>\ndone\n</tool_response>\n<tool_response>\ntwice\n"));
}

TEST_F(OwnToolsTest, NoArgumentsAreNone) {
  const Json call = {{"id", "c"}, {"type", "function"}, {"function", {{"name", "turn"}, {"arguments", ""}}}};
  const Json messages = {{{"role", "user"}, {"content", "a"}},
                         {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {call}}},
                         {{"role", "tool"}, {"tool_call_id", "c"}, {"content", "done"}}};
  Json explicit_none = messages;
  explicit_none[1]["tool_calls"][0]["function"]["arguments"] = "{}";
  const Json more = {{"tool_choice", "none"}, {"max_tokens", 1}};
  const auto tokens = [&](const Json& chat) {
    Json body = Body(more);
    body["messages"] = chat;
    return Post(ChatCompletions, body)["usage"]["prompt_tokens"];
  };
  EXPECT_EQ(tokens(messages), tokens(explicit_none));
}

// What a message has reaches the prompt, or the chat is refused.
TEST_F(OwnToolsTest, NamesAndRolesAreNotLost) {
  model::ChatInput chat;
  chat.messages = {{{"role", "user"}, {"name", "Ann"}, {"content", "x"}},
                   {{"role", "assistant"}, {"name", "assistant"}, {"content", "y"}},
                   {{"role", "user"}, {"name", "Bo"}, {"content", ""}}};
  EXPECT_THAT(Prompt(chat, Body({{"tools", nullptr}})),
              StartsWith("<|im_start|>user\nAnn: x<|im_end|>\n<|im_start|>assistant\ny<|im_end|>\n"
                         "<|im_start|>user\n<|im_end|>\n"));
}

class NamedRolesTest : public EndpointRig {
 protected:
  NamedRolesTest()
      : EndpointRig(
            "{% for m in messages %}{% if m.role in ['user', 'guest'] %}<{{ m.name or m.role }}>"
            "{{ m.content }}{% endif %}{% endfor %}") {}

  Json Tokens(const Json& messages) {
    return Post(ChatCompletions, {{"messages", messages}, {"max_tokens", 1}})["usage"]["prompt_tokens"];
  }
};

TEST_F(NamedRolesTest, AsTheTemplateShowsThem) {
  const Json named = {{"role", "user"}, {"name", "Ann"}, {"content", "x"}};
  EXPECT_EQ(Tokens(Json::array({named})), 7);  // with the token that begins texts
  EXPECT_EQ(Tokens({named, {{"role", "guest"}, {"content", "y"}}}), 15);
  const Json unknown = {{"messages", {named, {{"role", "host"}, {"content", "y"}}}}};
  EXPECT_THAT(Refused(ChatCompletions, unknown.dump())["message"].get<std::string>(),
              HasSubstr("found host"));
}

TEST_F(OwnToolsTest, RefusesByName) {
  const auto with_tool = [](const Json& more) {
    Json tool = kTools[0];
    tool["function"].update(more);
    return Json{{"tools", {tool}}};
  };
  const std::pair<const char*, Json> wrong[] = {
      {"tools", {{"tools", {{"a", 1}}}}},
      {"tools[0].type", {{"tools", {{{"type", "web_search"}}}}}},
      {"tools[0].function", {{"tools", {{{"type", "function"}}}}}},
      {"tools[0].function.name", with_tool({{"name", "a b"}})},
      {"tools[0].function.nam", with_tool({{"nam", "a"}})},
      {"tools[1].function.name", {{"tools", {kTools[0], kTools[0]}}}},
      {"tools[0].function.parameters", with_tool({{"parameters", {{"type", "objet"}}}})},
      {"tools[0].function.parameters", with_tool({{"parameters", 5}})},
      {"tool_choice", {{"tool_choice", "sometimes"}}},
      {"tool_choice", {{"tool_choice", "required"}, {"tools", Json::array()}}},
      {"tool_choice.function.name", {{"tool_choice", {{"type", "function"}, {"function", {{"name", "x"}}}}}}},
      {"tool_choice.type", {{"tool_choice", {{"type", "tool"}}}}},
      {"ignore_eos", {{"ignore_eos", true}}},
      {"min_tokens", {{"min_tokens", 3}}},
      {"reasoning_effort", {{"reasoning_effort", "high"}}},
      {"thinking_token_budget", {{"thinking_token_budget", 5}}},
  };
  for (const auto& [param, more] : wrong)
    EXPECT_EQ(Refused(ChatCompletions, Body(more).dump())["param"], param) << more;
  const Json schema = {{"type", "object"}, {"properties", {{"a", {{"type", "string"}, {"patern", "x"}}}}}};
  const Json error = Refused(ChatCompletions, Body(with_tool({{"parameters", schema}})).dump());
  EXPECT_EQ(error["code"], "invalid_function_parameters");
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("#/properties/a"));
}

TEST_F(HermesTest, TemplatesShowToolsThoughtsAndEfforts) {
  model::ChatInput chat = std::vector<model::ChatMessage>{{"user", "a"}, {"assistant", "b"}};
  chat.messages[1]["reasoning_content"] = "Hm";
  const std::string prompt = Prompt(chat, Body());
  EXPECT_THAT(prompt, HasSubstr("\"name\": \"weather\""));
  EXPECT_THAT(prompt, HasSubstr("b<think>Hm</think><|im_end|>"));
  EXPECT_THAT(Prompt(chat, Body({{"reasoning_effort", "low"}})), ::testing::EndsWith("<think>\n"));
  EXPECT_THAT(Prompt(chat, Body({{"reasoning_effort", "none"}})), ::testing::EndsWith("</think>\n\n"));
  EXPECT_EQ(Refused(ChatCompletions, Body({{"reasoning_effort", "huge"}}).dump())["param"],
            "reasoning_effort");
  EXPECT_EQ(Refused(ChatCompletions,
                    Body({{"reasoning_effort", "low"}, {"chat_template_kwargs", {{"enable_thinking", true}}}})
                        .dump())["param"],
            "reasoning_effort");
}

// Thoughts are told apart, and end when their tokens are used up.
TEST_F(HermesTest, ThoughtsHaveALimit) {
  const Json format = {{"type", "json_schema"},
                       {"json_schema", {{"name", "x"}, {"schema", {{"const", 55555}}}}}};
  for (const char* name : {"thinking_token_budget", "thinking_budget_tokens"}) {
    const Json asked = {
        {"tools", nullptr}, {"reasoning_effort", "high"}, {"response_format", format}, {name, 12}};
    const Json whole = Post(ChatCompletions, Body(asked));
    const Json& message = whole["choices"][0]["message"];
    EXPECT_EQ(message["content"], "55555") << whole;
    EXPECT_LE(message["reasoning_content"].get<std::string>().size(), 12u);
    const int thought = whole["usage"]["completion_tokens_details"]["reasoning_tokens"];
    EXPECT_GE(thought, 12 + 8);      // with </think>
    EXPECT_LE(thought, 12 + 8 + 3);  // and the rest of a character
    const Json streamed = Joined(Stream(ChatCompletions, Body(asked)))[0];
    EXPECT_EQ(streamed["reasoning_content"], message["reasoning_content"]);
    EXPECT_EQ(streamed["content"], "55555");
  }
  // The choices' lengths are not the thought's.
  const Json choices = {{"tools", nullptr}, {"reasoning_effort", "high"}, {"thinking_token_budget", 30}};
  Json body = Body(choices);
  body["guided_choice"] = {"yes", "no"};
  const Json chosen = Post(ChatCompletions, body)["choices"][0]["message"];
  EXPECT_TRUE(chosen["content"] == "yes" || chosen["content"] == "no") << chosen;
  EXPECT_GT(chosen["reasoning_content"].get<std::string>().size(), 4u);

  const Json none = {{"reasoning_effort", "high"}, {"thinking_token_budget", 0}, {"tool_choice", "required"}};
  const Json message = Post(ChatCompletions, Body(none))["choices"][0]["message"];
  EXPECT_FALSE(message.contains("reasoning_content"));
  EXPECT_TRUE(message["content"].is_null());
  ExpectValid(message["tool_calls"][0]);
}

TEST_F(HermesTokensTest, CallsBeginWithTheirTokens) {
  const int32_t begin = model_.Loaded().tokenizer->Find("<tool_call>");
  const Json asked = {{"tool_choice", "required"},
                      {"parallel_tool_calls", false},
                      {"logprobs", true},
                      {"chat_template_kwargs", {{"enable_thinking", false}}}};
  const Json choice = Post(ChatCompletions, Body(asked))["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  ExpectValid(choice["message"]["tool_calls"][0]);
  EXPECT_EQ(choice["logprobs"]["content"][0]["token"], "<tool_call>");
  // Free to answer, a model that likes this token calls; the rest is constrained.
  Json liked = Body({{"logit_bias", {{std::to_string(begin), 100}}}, {"parallel_tool_calls", false}});
  const Json called = Post(ChatCompletions, liked)["choices"][0];
  EXPECT_EQ(called["finish_reason"], "tool_calls");
  ExpectValid(called["message"]["tool_calls"][0]);
  liked["tool_choice"] = "none";
  EXPECT_FALSE(Post(ChatCompletions, liked)["choices"][0]["message"].contains("tool_calls"));
}

TEST_F(HermesTokensTest, ThoughtsEndWithTheirToken) {
  const Json asked = {{"chat_template_kwargs", {{"enable_thinking", true}}},
                      {"thinking_token_budget", 9},
                      {"tool_choice", "required"},
                      {"temperature", 4}};
  for (int seed = 0; seed < 5; ++seed) {
    Json body = Body(asked);
    body["seed"] = seed;
    const Json whole = Post(ChatCompletions, body);
    EXPECT_LE(whole["usage"]["completion_tokens_details"]["reasoning_tokens"], 9 + 1 + 3);
    if (whole["choices"][0]["finish_reason"] == "length") continue;
    for (const Json& call : whole["choices"][0]["message"]["tool_calls"]) ExpectValid(call);
  }
}

// The same chat by the API of responses: calls are items, and go on as such.
TEST_F(HermesTest, ResponsesHaveCallsAndThoughtsAsItems) {
  Json tools = Json::array();
  for (const Json& tool : kTools) {
    Json flat = {{"type", "function"}};
    flat.update(tool["function"]);
    tools.push_back(flat);
  }
  const Json body = {{"input", "a"},
                     {"seed", 7},
                     {"max_output_tokens", 400},
                     {"tools", tools},
                     {"tool_choice", {{"type", "function"}, {"name", "turn"}}},
                     {"parallel_tool_calls", false},
                     {"reasoning", {{"effort", "low"}, {"max_tokens", 10}}}};
  const Json response = Post(CreateResponse, body);
  Json allowed = body;
  allowed["tool_choice"] = {
      {"type", "allowed_tools"}, {"mode", "required"}, {"tools", {{{"type", "function"}, {"name", "turn"}}}}};
  EXPECT_EQ(Post(CreateResponse, allowed)["output"][1]["arguments"], response["output"][1]["arguments"]);
  ASSERT_EQ(response["output"].size(), 2u) << response;
  const Json& thought = response["output"][0];
  EXPECT_EQ(thought["type"], "reasoning");
  EXPECT_EQ(thought["content"][0]["type"], "reasoning_text");
  EXPECT_GT(response["usage"]["output_tokens_details"]["reasoning_tokens"], 10);
  const Json& call = response["output"][1];
  EXPECT_EQ(call["type"], "function_call");
  EXPECT_EQ(call["status"], "completed");
  EXPECT_THAT(call["call_id"].get<std::string>(), StartsWith("call_"));
  ExpectValid(
      {{"type", "function"}, {"function", {{"name", call["name"]}, {"arguments", call["arguments"]}}}});

  std::vector<std::string> types;
  std::string arguments;
  for (const Json& event : Stream(CreateResponse, body)) {
    const std::string type = event["type"];
    if (type == "response.function_call_arguments.delta") arguments += event["delta"].get<std::string>();
    if (types.empty() || types.back() != type) types.push_back(type);
  }
  EXPECT_EQ(arguments, call["arguments"]);
  EXPECT_EQ(types,
            (std::vector<std::string>{
                "response.created", "response.in_progress", "response.output_item.added",
                "response.content_part.added", "response.reasoning_text.delta",
                "response.reasoning_text.done", "response.content_part.done", "response.output_item.done",
                "response.output_item.added", "response.function_call_arguments.delta",
                "response.function_call_arguments.done", "response.output_item.done", "response.completed"}));

  // Sent back, or remembered: the same prompt.
  const Json output = {{"type", "function_call_output"}, {"call_id", call["call_id"]}, {"output", "done"}};
  Json next = {{"seed", 1}, {"max_output_tokens", 5}, {"tools", tools}, {"tool_choice", "none"}};
  next["input"] = {output};
  next["previous_response_id"] = response["id"];
  const Json remembered = Post(CreateResponse, next);
  next.erase("previous_response_id");
  next["input"] = {{{"role", "user"}, {"content", "a"}}, thought, call, output};
  const Json sent = Post(CreateResponse, next);
  EXPECT_EQ(sent["usage"]["input_tokens"], remembered["usage"]["input_tokens"]);
  EXPECT_EQ(sent["output"][0]["content"], remembered["output"][0]["content"]);
}

TEST_F(HermesTokensTest, OllamaHasCallsAndThoughts) {
  Json body = {
      {"messages",
       {{{"role", "user"}, {"content", "a"}},
        {{"role", "assistant"},
         {"content", ""},
         {"thinking", "Hm"},
         {"tool_calls", {{{"function", {{"name", "turn"}, {"arguments", {{"side", "left"}}}}}}}}},
        {{"role", "tool"}, {"tool_name", "turn"}, {"content", "done"}}}},
      {"tools", kTools},
      {"think", true},
      {"stream", false},
      {"options", {{"seed", 3}, {"num_predict", 300}, {"temperature", 1}, {"top_k", 0}, {"top_p", 1}}}};
  int num_thoughts = 0;
  for (int seed = 0; seed < 8; ++seed) {
    body["options"]["seed"] = seed;
    const Json whole = Post(OllamaChat, body);
    const std::string thought = whole["message"].value("thinking", "");
    num_thoughts += thought.empty() ? 0 : 1;
    std::string text;
    body["stream"] = true;
    const std::string lines = Call(OllamaChat, body.dump()).body;
    body["stream"] = false;
    std::string streamed;
    Json calls;
    for (size_t at = 0; at < lines.size(); at = lines.find('\n', at) + 1) {
      const Json line = Json::parse(lines.substr(at, lines.find('\n', at) - at));
      streamed += line["message"].value("thinking", "");
      text += line["message"]["content"].get<std::string>();
      if (line["message"].contains("tool_calls")) calls = line["message"]["tool_calls"];
    }
    EXPECT_EQ(streamed, thought);
    EXPECT_EQ(text, whole["message"]["content"]);
    ASSERT_EQ(calls.size(), whole["message"].value("tool_calls", Json::array()).size());
    for (size_t i = 0; i < calls.size(); ++i)
      EXPECT_EQ(calls[i]["function"], whole["message"]["tool_calls"][i]["function"]);
  }
  EXPECT_GE(num_thoughts, 4);
  body["think"] = "sometimes";
  EXPECT_EQ(Call(OllamaChat, body.dump()).status, 400);
}

}  // namespace
}  // namespace throng::serve
