#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "base/text/utf8.h"
#include "serve/generation.h"
#include "serve/reply.h"
#include "serve/testing/endpoint_rig.h"

namespace throng::serve {
namespace {

using ::testing::HasSubstr;

class CompletionsTest : public EndpointRig {
 protected:
  // Letters only: chunks of other bytes need not be UTF-8.
  static Json Letters(const char* pattern = "^[a-z]{20}$") {
    return {{"type", "json_schema"},
            {"json_schema", {{"name", "x"}, {"schema", {{"type", "string"}, {"pattern", pattern}}}}}};
  }

  static Json ChatBody(Json more = Json::object()) {
    Json body = {{"messages", {{{"role", "user"}, {"content", "a"}}}}, {"seed", 7}, {"max_tokens", 30}};
    body.update(more);
    return body;
  }

  static Json TextBody(Json more = Json::object()) {
    Json body = {{"prompt", "a"}, {"seed", 7}, {"max_tokens", 12}};
    body.update(more);
    return body;
  }

  // What the chunks of a stream add up to: the choices of a whole reply.
  static Json Joined(const std::vector<Json>& events, bool chat) {
    Json choices = Json::array();
    for (const Json& event : events) {
      if (!event.is_object() || event["choices"].empty()) continue;
      const Json& chunk = event["choices"].at(0);
      const size_t index = chunk["index"];
      while (choices.size() <= index)
        choices.push_back({{"text", ""}, {"logprobs", nullptr}, {"finish_reason", nullptr}});
      Json& choice = choices[index];
      const std::string text = chat ? chunk["delta"].value("content", "") : chunk["text"].get<std::string>();
      choice["text"] = choice["text"].get<std::string>() + text;
      if (!chunk["finish_reason"].is_null()) choice["finish_reason"] = chunk["finish_reason"];
      if (chunk["logprobs"].is_null()) continue;
      if (choice["logprobs"].is_null()) choice["logprobs"] = Json::object();
      for (const auto& [name, list] : chunk["logprobs"].items()) {
        Json& all = choice["logprobs"][name];
        if (!list.is_array()) continue;
        if (all.is_null()) all = Json::array();
        all.insert(all.end(), list.begin(), list.end());
      }
    }
    return choices;
  }

  static Json Simple(const Json& whole, bool chat) {
    Json choices = Json::array();
    for (const Json& choice : whole["choices"]) {
      choices.push_back({{"text", chat ? choice["message"]["content"] : choice["text"]},
                         {"logprobs", choice["logprobs"]},
                         {"finish_reason", choice["finish_reason"]}});
    }
    return choices;
  }
};

// Fields that no table knows, or that this server does not have, are named, wherever they are.
TEST_F(CompletionsTest, RefusesUnknownFieldsByName) {
  const auto error = [&](Endpoint endpoint, const Json& body) { return Refused(endpoint, body.dump()); };
  for (const char* name : {"guided_jsn", "bad_wrds", "n_predict", "tokenize"}) {
    const Json refused = error(ChatCompletions, ChatBody({{name, {{"a", 1}}}}));
    EXPECT_EQ(refused["param"], name);
    EXPECT_EQ(refused["code"], "unknown_parameter");
    EXPECT_EQ(refused["type"], "invalid_request_error");
    EXPECT_THAT(refused["message"].get<std::string>(), HasSubstr(name));
    EXPECT_EQ(error(Completions, TextBody({{name, "x"}}))["param"], name);
    EXPECT_EQ(Post(ChatCompletions, ChatBody({{name, nullptr}}))["choices"].size(), 1u);  // not given
  }
  const Json unsupported = {{"bad_words", {"x"}},           {"typical_p", 0.5},
                            {"reasoning_effort", "low"},    {"thinking_token_budget", 5},
                            {"skip_special_tokens", false}, {"modalities", {"audio"}}};
  for (const auto& [name, value] : unsupported.items()) {
    const Json refused = error(ChatCompletions, ChatBody({{name, value}}));
    EXPECT_EQ(refused["param"], name);
    EXPECT_EQ(refused["code"], "unsupported_parameter");
  }
  EXPECT_EQ(error(Completions, TextBody({{"suffix", "x"}}))["param"], "suffix");
  const std::pair<const char*, Json> nested[] = {
      {"messages[0].nam", {{"messages", {{{"role", "user"}, {"content", "a"}, {"nam", "x"}}}}}},
      {"messages[0].content[1].txt",
       {{"messages",
         {{{"role", "user"},
           {"content",
            {{{"type", "text"}, {"text", "a"}}, {{"type", "text"}, {"text", "b"}, {"txt", 1}}}}}}}}},
      {"stream_options.include_usge", {{"stream_options", {{"include_usge", true}}}}},
      {"response_format.schema", {{"response_format", {{"type", "text"}, {"schema", {{"a", 1}}}}}}},
      {"response_format.json_schema.shema",
       {{"response_format", {{"type", "json_schema"}, {"json_schema", {{"shema", {{"a", 1}}}}}}}}},
      {"structured_outputs.structural_tag", {{"structured_outputs", {{"structural_tag", "a"}}}}},
      {"messages[0].tool_calls[0].function.nam",
       {{"messages",
         {{{"role", "assistant"}, {"tool_calls", {{{"id", "c"}, {"function", {{"nam", "f"}}}}}}}}}}},
  };
  for (const auto& [param, more] : nested) EXPECT_EQ(error(ChatCompletions, ChatBody(more))["param"], param);
}

// Clients keep answers by their ids, also those of a server that has been started again.
TEST_F(CompletionsTest, IdsDifferBetweenServers) {
  Context other(ServerOptions(), &model_, &metrics_);
  EXPECT_NE(MakeHead(context_, "cmpl").id, MakeHead(other, "cmpl").id);
}

// As llama.cpp and Instructor's mode JSON_SCHEMA write it.
TEST_F(CompletionsTest, ASchemaBesideTheTypeIsFollowed) {
  for (const char* type : {"json_object", "json_schema"}) {
    const Json format = {{"type", type}, {"schema", {{"enum", {"x", "y"}}}}};
    const Json message =
        Post(ChatCompletions, ChatBody({{"response_format", format}}))["choices"][0]["message"];
    EXPECT_THAT(message["content"].get<std::string>(), ::testing::AnyOf("\"x\"", "\"y\""));
  }
  const Json both = {
      {"type", "json_schema"}, {"schema", true}, {"json_schema", {{"schema", {{"const", 1}}}}}};
  EXPECT_EQ(Refused(ChatCompletions, ChatBody({{"response_format", both}}).dump())["param"],
            "response_format.schema");
}

TEST_F(CompletionsTest, AcceptsWhatHasNoEffectOrAsksForNothing) {
  const Json plain = Post(ChatCompletions, ChatBody())["choices"];
  const Json more = {{"user", "u"},
                     {"metadata", {{"a", "b"}}},
                     {"store", true},
                     {"service_tier", "auto"},
                     {"parallel_tool_calls", true},
                     {"tools", Json::array()},
                     {"tool_choice", "auto"},
                     {"typical_p", 1.0},
                     {"skip_special_tokens", true},
                     {"modalities", {"text"}},
                     {"logit_bias", Json::object()},
                     {"stop", ""},
                     {"best_of", 1},
                     {"reasoning_effort", nullptr},
                     {"presence_penalty", 0},
                     {"stop_token_ids", Json::array()},
                     {"logprobs", false},
                     {"n", nullptr}};
  EXPECT_EQ(Post(ChatCompletions, ChatBody(more))["choices"], plain);
  const Json mark = {{"type", "ephemeral"}};  // for a provider's cache
  const Json marked = {{{"type", "text"}, {"text", "a"}, {"cache_control", mark}}};
  const Json messages = {{"messages", {{{"role", "user"}, {"content", marked}}}}};
  EXPECT_EQ(Post(ChatCompletions, ChatBody(messages))["choices"], plain);
}

TEST_F(CompletionsTest, NumbersAreNumbers) {
  const Json plain = Post(ChatCompletions, ChatBody({{"max_tokens", 5}, {"top_k", 3}}));
  const Json written =
      Post(ChatCompletions, ChatBody({{"max_tokens", 5.0}, {"top_k", 3.0}, {"n", 1.0}, {"seed", 7.0}}));
  EXPECT_EQ(written["choices"], plain["choices"]);
  EXPECT_EQ(Post(Completions, TextBody({{"prompt", {1.0, 100.0}}}))["choices"],
            Post(Completions, TextBody({{"prompt", {1, 100}}}))["choices"]);
  EXPECT_EQ(Refused(ChatCompletions, ChatBody({{"max_tokens", 5.5}}).dump())["param"], "max_tokens");
  EXPECT_EQ(Refused(ChatCompletions, ChatBody({{"n", true}}).dump())["param"], "n");
  EXPECT_EQ(Refused(ChatCompletions, ChatBody({{"seed", 1e300}}).dump())["param"], "seed");
}

TEST_F(CompletionsTest, EdgesOfSampling) {
  const Json greedy = Post(ChatCompletions, ChatBody({{"temperature", 0}}))["choices"];
  EXPECT_EQ(Post(ChatCompletions, ChatBody({{"top_p", 0}, {"seed", 99}}))["choices"], greedy);
  EXPECT_EQ(Post(ChatCompletions, ChatBody({{"top_k", 1}, {"seed", 98}}))["choices"], greedy);
  EXPECT_THAT(Refused(ChatCompletions, ChatBody({{"top_p", 1.01}}).dump())["message"].get<std::string>(),
              HasSubstr("top_p: found 1.01, allowed: a number from 0 to 1"));
  EXPECT_EQ(
      Post(ChatCompletions, ChatBody({{"stream_options", {{"include_usage", nullptr}}}}))["choices"].size(),
      1u);
  // The same distribution, whatever else: a bias of all that is -100 but one leaves one.
  Json bias = Json::object();
  for (int token = 0; token < 260; ++token) bias[std::to_string(token)] = -100;
  bias[std::to_string(3 + 'q')] = 100;
  const Json biased = Post(ChatCompletions, ChatBody({{"logit_bias", bias}, {"max_tokens", 5}}));
  EXPECT_EQ(biased["choices"][0]["message"]["content"], "qqqqq");
  EXPECT_EQ(Refused(ChatCompletions, ChatBody({{"logit_bias", {{"x", 1}}}}).dump())["param"], "logit_bias");
  EXPECT_EQ(Refused(ChatCompletions, ChatBody({{"logit_bias", {{"5", 101}}}}).dump())["param"],
            "logit_bias.5");
  EXPECT_THAT(Refused(ChatCompletions, ChatBody({{"logit_bias", {{"99999", 1}}}}).dump())["message"]
                  .get<std::string>(),
              HasSubstr("99999"));
}

TEST_F(CompletionsTest, PenaltiesKeepTokensFromComingAgain) {
  const auto distinct = [&](double penalty) {
    const Json reply = Post(ChatCompletions, ChatBody({{"temperature", 0},
                                                       {"max_tokens", 200},
                                                       {"min_tokens", 200},
                                                       {"presence_penalty", penalty},
                                                       {"frequency_penalty", penalty},
                                                       {"logprobs", true}}));
    std::set<std::string> tokens;
    for (const Json& token : reply["choices"][0]["logprobs"]["content"]) tokens.insert(token["bytes"].dump());
    return tokens.size();
  };
  EXPECT_GT(distinct(2), distinct(-2) + 20);
}

TEST_F(CompletionsTest, EndsWhereItIsTold) {
  Json body = TextBody({{"prompt", "abc"}, {"max_tokens", 1900}, {"ignore_eos", true}});
  const Json whole = Post(Completions, body);
  EXPECT_EQ(whole["usage"]["completion_tokens"], 1900);
  EXPECT_EQ(whole["choices"][0]["finish_reason"], "length");
  body["ignore_eos"] = false;
  const Json natural = Post(Completions, body);
  const int length = natural["usage"]["completion_tokens"];
  ASSERT_LT(length, 1900);  // the end is drawn once in 260 tokens
  EXPECT_EQ(natural["choices"][0]["finish_reason"], "stop");
  body["min_tokens"] = length + 5;
  EXPECT_GE(Post(Completions, body)["usage"]["completion_tokens"], length + 5);
  // The first of the stop tokens ends the answer, and is not in its text.
  body["stop_token_ids"] = {3 + 'x', 3 + 'y', 3 + 'z'};
  body["min_tokens"] = 0;
  const Json stopped = Post(Completions, body);
  const std::string text = stopped["choices"][0]["text"];
  EXPECT_EQ(stopped["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(text.find_first_of("xyz"), std::string::npos);
  EXPECT_EQ(natural["choices"][0]["text"].get<std::string>().substr(0, text.size()), text);
  const Json out = Refused(Completions, TextBody({{"stop_token_ids", {999999}}}).dump());
  EXPECT_THAT(out["message"].get<std::string>(), HasSubstr("999999"));
  EXPECT_EQ(out["param"], "stop_token_ids");
  EXPECT_EQ(Refused(Completions, TextBody({{"logit_bias", {{"999999", 1}}}}).dump())["param"], "logit_bias");
  EXPECT_EQ(Refused(Completions, TextBody({{"prompt", {{5}, {7, 999999}}}}).dump())["param"], "prompt");
  EXPECT_EQ(Refused(Completions, TextBody({{"min_tokens", 13}}).dump())["param"], "min_tokens");
}

TEST_F(CompletionsTest, StopsOnlyAfterTheLeastNumberOfTokens) {
  Json letters = Json::object();
  for (int letter = 'a'; letter <= 'f'; ++letter) letters[std::to_string(3 + letter)] = 100;
  Json body = TextBody({{"max_tokens", 100}, {"logit_bias", letters}});
  const std::string text = Post(Completions, body)["choices"][0]["text"];
  ASSERT_EQ(text.size(), 100u);
  body["stop"] = text.substr(0, 1);
  EXPECT_EQ(Post(Completions, body)["choices"][0]["text"], "");
  body["min_tokens"] = 30;
  const size_t end = text.find(text[0], 30);
  ASSERT_NE(end, std::string::npos);
  const Json stopped = Post(Completions, body);
  EXPECT_EQ(stopped["choices"][0]["text"], text.substr(0, end));
  EXPECT_EQ(stopped["usage"]["completion_tokens"], end + 1);
  EXPECT_EQ(stopped["choices"][0]["finish_reason"], "stop");
}

TEST_F(CompletionsTest, RefusesAFormThatIsNone) {
  for (const char* none :
       {"{}", R"({"json_object":false})", R"({"json":null,"disable_any_whitespace":true})"}) {
    const Json error = Refused(ChatCompletions, ChatBody({{"structured_outputs", Json::parse(none)}}).dump());
    EXPECT_EQ(error["param"], "structured_outputs");
    EXPECT_THAT(error["message"].get<std::string>(),
                HasSubstr("allowed: json, choice, regex, grammar, or json_object: true"));
  }
}

TEST_F(CompletionsTest, NothingHoldsBackTheEndOfAForm) {
  for (const Json& form : {Json{{"guided_choice", {"a"}}}, Json{{"response_format", Letters()}}}) {
    for (const Json& hold : {Json{{"ignore_eos", true}}, Json{{"min_tokens", 9}}}) {
      Json body = TextBody(form);
      body.update(hold);
      EXPECT_EQ(Refused(Completions, body.dump())["param"], hold.begin().key());
    }
  }
}

TEST_F(CompletionsTest, ChoicesAreThoseOfRequestsWithTheirSeeds) {
  const std::string long_text(200, 'x');
  for (const bool chat : {true, false}) {
    const Endpoint endpoint = chat ? ChatCompletions : Completions;
    Json body = chat ? ChatBody({{"messages", {{{"role", "user"}, {"content", long_text}}}}})
                     : TextBody({{"prompt", {long_text, "b", long_text + "c"}}});
    body["n"] = 4;
    const Json several = Post(endpoint, body);
    const size_t num_prompts = chat ? 1 : 3;
    ASSERT_EQ(several["choices"].size(), 4 * num_prompts);
    int answer_tokens = 0;
    for (size_t i = 0; i < several["choices"].size(); ++i) {
      Json alone = body;
      alone["n"] = 1;
      alone["seed"] = 7 + i % 4;
      if (!chat) alone["prompt"] = body["prompt"][i / 4];
      const Json one = Post(endpoint, alone);
      Json choice = several["choices"][i];
      EXPECT_EQ(choice["index"], i);
      choice["index"] = 0;
      EXPECT_EQ(choice, one["choices"][0]);
      answer_tokens += one["usage"]["completion_tokens"].get<int>();
    }
    EXPECT_EQ(several["usage"]["completion_tokens"], answer_tokens);
  }
}

TEST_F(CompletionsTest, ChoicesShareThePromptsBlocks) {
  std::vector<Choices> prompts;
  prompts.push_back(Choices::Of(model_, {.prompt = std::string(200, 'y'), .max_tokens = 5}, "prompt",
                                /*form_field=*/"", /*count=*/4));
  Generation generation(context_, prompts);
  std::vector<Generation::Piece> pieces;
  while (!generation.Take(pieces)) std::this_thread::yield();
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(generation.Result(i).cached_prompt_tokens, i == 0 ? 0 : 192);
}

// No later choice begins once the request is cancelled, and all of them end.
TEST_F(CompletionsTest, CancelledChoicesEnd) {
  std::vector<Choices> prompts;
  prompts.push_back(Choices::Of(model_, {.prompt = std::string(1500, 'y'), .max_tokens = 500}, "prompt",
                                /*form_field=*/"", /*count=*/9));
  Generation generation(context_, prompts);
  generation.Cancel();
  std::vector<Generation::Piece> pieces;
  while (!generation.Take(pieces)) std::this_thread::yield();
  for (size_t i = 0; i < 9; ++i) EXPECT_EQ(generation.Result(i).finish, llm::FinishReason::kCancelled);
}

TEST_F(CompletionsTest, BestOfTakesTheMostLikely) {
  Json body = TextBody({{"n", 8}, {"logprobs", 0}, {"max_tokens", 6}, {"min_tokens", 6}});
  std::vector<std::pair<double, std::string>> candidates;
  const Json all = Post(Completions, body);
  for (const Json& choice : all["choices"]) {
    if (choice["finish_reason"] != "length") continue;
    double sum = 0;
    for (const Json& logprob : choice["logprobs"]["token_logprobs"]) sum += logprob.get<double>();
    candidates.emplace_back(-sum / 6, choice["text"]);
  }
  ASSERT_EQ(candidates.size(), 8u);
  std::ranges::sort(candidates);
  body["n"] = 2;
  body["best_of"] = 8;
  body.erase("logprobs");
  const Json best = Post(Completions, body);
  ASSERT_EQ(best["choices"].size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(best["choices"][i]["text"], candidates[i].second);
    EXPECT_EQ(best["choices"][i]["index"], i);
    EXPECT_TRUE(best["choices"][i]["logprobs"].is_null());
  }
  EXPECT_EQ(best["usage"]["completion_tokens"], 48);
  EXPECT_EQ(Refused(Completions, TextBody({{"n", 3}, {"best_of", 2}}).dump())["param"], "best_of");
  EXPECT_EQ(Refused(Completions, TextBody({{"best_of", 2}, {"stream", true}}).dump())["param"], "best_of");
}

TEST_F(CompletionsTest, StreamsAddUpToTheWholeAnswer) {
  const Json bodies[] = {ChatBody(), ChatBody({{"n", 3}}),
                         ChatBody({{"n", 2}, {"logprobs", true}, {"top_logprobs", 2}}),
                         ChatBody({{"stop", {"a", "e"}}, {"logprobs", true}, {"max_tokens", 200}}),
                         ChatBody({{"response_format", Letters()}, {"logprobs", true}})};
  for (const Json& body : bodies)
    EXPECT_EQ(Joined(Stream(ChatCompletions, body), true), Simple(Post(ChatCompletions, body), true)) << body;
  const Json texts[] = {TextBody({{"n", 2}, {"prompt", {"a", "bc"}}}), TextBody({{"logprobs", 3}, {"n", 2}}),
                        TextBody({{"echo", true}, {"logprobs", 1}, {"n", 2}, {"prompt", {"\u00e4b", "c"}}}),
                        TextBody({{"echo", true}, {"max_tokens", 0}}),
                        TextBody({{"max_tokens", 200}, {"stop", "q"}, {"logprobs", 0}})};
  for (const Json& body : texts)
    EXPECT_EQ(Joined(Stream(Completions, body), false), Simple(Post(Completions, body), false)) << body;
}

TEST_F(CompletionsTest, UsageIsNullInEveryChunkButTheLast) {
  for (const Endpoint endpoint : {ChatCompletions, Completions}) {
    Json body = endpoint == ChatCompletions ? ChatBody() : TextBody();
    for (const Json& event : Stream(endpoint, body))
      EXPECT_FALSE(event.is_object() && event.contains("usage"));
    body["stream_options"] = {{"include_usage", true}};
    body["n"] = 2;
    const std::vector<Json> events = Stream(endpoint, body);
    ASSERT_GT(events.size(), 3u);
    EXPECT_EQ(events.back(), "[DONE]");
    const Json& last = events[events.size() - 2];
    EXPECT_EQ(last["choices"], Json::array());
    EXPECT_EQ(last["usage"], Post(endpoint, [&] {
                Json b = body;
                b.erase("stream_options");
                return b;
              }())["usage"]);
    for (size_t i = 0; i + 2 < events.size(); ++i) {
      EXPECT_TRUE(events[i].contains("usage") && events[i]["usage"].is_null()) << events[i];
      EXPECT_EQ(events[i]["id"], last["id"]);
      EXPECT_EQ(events[i]["system_fingerprint"], last["system_fingerprint"]);
    }
  }
}

TEST_F(CompletionsTest, ChatLogprobsHaveTheBytesOfTheAnswer) {
  const Json choice =
      Post(ChatCompletions,
           ChatBody({{"logprobs", true}, {"top_logprobs", 3}, {"response_format", Letters()}}))["choices"][0];
  std::string bytes;
  for (const Json& token : choice["logprobs"]["content"]) {
    for (const Json& byte : token["bytes"]) bytes += static_cast<char>(byte.get<int>());
    ASSERT_EQ(token["top_logprobs"].size(), 3u);
    EXPECT_LE(token["logprob"], token["top_logprobs"][0]["logprob"]);
    EXPECT_GE(token["top_logprobs"][0]["logprob"], token["top_logprobs"][1]["logprob"]);
    EXPECT_LE(token["logprob"], 0.0);
  }
  EXPECT_EQ(bytes, choice["message"]["content"]);
  EXPECT_TRUE(choice["logprobs"]["refusal"].is_null());
  EXPECT_EQ(Refused(ChatCompletions, ChatBody({{"top_logprobs", 2}}).dump())["param"], "top_logprobs");
  EXPECT_EQ(Refused(ChatCompletions, ChatBody({{"logprobs", true}, {"top_logprobs", 21}}).dump())["param"],
            "top_logprobs");
}

TEST_F(CompletionsTest, TextLogprobsBeginWithThePrompt) {
  const Json body = TextBody({{"prompt", "\u00e4b"}, {"echo", true}, {"max_tokens", 0}, {"logprobs", 1}});
  const Json echo = Post(Completions, body)["choices"][0];
  EXPECT_EQ(echo["text"], "\u00e4b");
  EXPECT_EQ(echo["finish_reason"], "length");
  const Json& logprobs = echo["logprobs"];
  EXPECT_EQ(logprobs["tokens"], Json({"<s>", "bytes:\\xc3", "bytes:\\xa4", "b"}));
  EXPECT_EQ(logprobs["text_offset"], Json({0, 0, 1, 1}));
  ASSERT_EQ(logprobs["token_logprobs"].size(), 4u);
  EXPECT_TRUE(logprobs["token_logprobs"][0].is_null() && logprobs["top_logprobs"][0].is_null());
  for (size_t i = 1; i < 4; ++i) {
    const Json& top = logprobs["top_logprobs"][i];
    EXPECT_EQ(top.size(), top.begin().key() == logprobs["tokens"][i] ? 1u : 2u);
    EXPECT_EQ(top[logprobs["tokens"][i].get<std::string>()], logprobs["token_logprobs"][i]);
  }
  // The probability of a token is the same whether it is asked for or drawn.
  Json drawn = TextBody({{"prompt", "\u00e4b"},
                         {"max_tokens", 1},
                         {"logprobs", 0},
                         {"logit_bias", {{std::to_string(3 + 'c'), 100}}}});
  const Json answer = Post(Completions, drawn)["choices"][0];
  EXPECT_EQ(answer["text"], "c");
  EXPECT_EQ(answer["logprobs"]["text_offset"], Json::array({0}));
  Json asked = body;
  asked["prompt"] = "\u00e4bc";
  const Json again = Post(Completions, asked)["choices"][0]["logprobs"];
  EXPECT_EQ(again["token_logprobs"][4], answer["logprobs"]["token_logprobs"][0]);
  EXPECT_EQ(again["text_offset"][4], 2);
  // Without echo and tokens there is nothing.
  const Json nothing = Post(Completions, TextBody({{"max_tokens", 0}}));
  EXPECT_EQ(nothing["choices"][0]["text"], "");
  EXPECT_EQ(nothing["usage"]["completion_tokens"], 0);
  EXPECT_EQ(Post(Completions, TextBody({{"prompt", {1, 3 + 'h', 3 + 'i'}},
                                        {"echo", true},
                                        {"max_tokens", 0}}))["choices"][0]["text"],
            "hi");
}

TEST_F(CompletionsTest, TakesPromptsOfEveryKind) {
  const Json several = Post(Completions, TextBody({{"prompt", {"a", "b"}}, {"max_tokens", 2}}));
  ASSERT_EQ(several["choices"].size(), 2u);
  EXPECT_EQ(several["choices"][1]["text"],
            Post(Completions, TextBody({{"prompt", "b"}, {"max_tokens", 2}}))["choices"][0]["text"]);
  EXPECT_EQ(several["usage"]["prompt_tokens"], 4);
  const Json lists =
      Post(Completions, TextBody({{"prompt", {{1, 3 + 'a'}, {1, 3 + 'b'}}}, {"max_tokens", 2}}));
  EXPECT_EQ(lists["choices"], several["choices"]);
  EXPECT_EQ(Refused(Completions, TextBody({{"prompt", Json::array()}}).dump())["param"], "prompt");
  EXPECT_EQ(Refused(Completions, TextBody({{"prompt", {"a", 7}}}).dump())["param"], "prompt[1]");
  EXPECT_EQ(Refused(Completions,
                    TextBody({{"prompt", std::vector<std::string>(65, "a")}, {"n", 2}}).dump())["param"],
            "prompt");
}

TEST_F(CompletionsTest, OneConstraintAtMost) {
  const Json schema = {{"enum", {1, 2}}};
  for (const Json& form :
       {Json{{"guided_json", schema}}, Json{{"json_schema", schema}},
        Json{{"structured_outputs", {{"json", schema}}}},
        Json{{"response_format", {{"type", "json_schema"}, {"json_schema", {{"schema", schema}}}}}}}) {
    EXPECT_THAT(Post(Completions, TextBody(form))["choices"][0]["text"].get<std::string>(),
                ::testing::AnyOf("1", "2"));
  }
  for (const Json& form : {Json{{"guided_choice", {"x"}}}, Json{{"structured_outputs", {{"choice", {"x"}}}}},
                           Json{{"guided_regex", "x"}}, Json{{"structured_outputs", {{"regex", "x"}}}},
                           Json{{"grammar", "root ::= \"x\""}}, Json{{"guided_grammar", "root ::= \"x\""}},
                           Json{{"structured_outputs", {{"grammar", "root ::= \"x\""}}}}})
    EXPECT_EQ(Post(Completions, TextBody(form))["choices"][0]["text"], "x") << form;
  const Json refused =
      Refused(Completions, TextBody({{"guided_choice", {"x"}}, {"json_schema", schema}}).dump());
  EXPECT_EQ(refused["param"], "guided_choice");
}

// An object, or the beginning of one that max_tokens cut off.
TEST_F(CompletionsTest, AnyObjectIsAForm) {
  for (const Json& form : {Json{{"response_format", {{"type", "json_object"}}}},
                           Json{{"structured_outputs", {{"json_object", true}}}}}) {
    Json body = ChatBody(form);
    body["max_tokens"] = 40;
    for (int seed = 0; seed < 20; ++seed) {
      body["seed"] = seed;
      const Json choice = Post(ChatCompletions, body)["choices"][0];
      const std::string text = choice["message"]["content"];
      EXPECT_TRUE(text.starts_with('{')) << text;
      if (choice["finish_reason"] == "stop") {
        EXPECT_TRUE(Json::parse(text, nullptr, false).is_object()) << text;
      }
    }
  }
}

TEST_F(CompletionsTest, CallsOfToolsReachThePrompt) {
  const auto tokens = [&](const Json& messages) {
    return Post(ChatCompletions, ChatBody({{"messages", messages}}))["usage"]["prompt_tokens"].get<int>();
  };
  const Json call = {
      {"id", "c0"}, {"type", "function"}, {"function", {{"name", "sqrt"}, {"arguments", R"({"x":144})"}}}};
  const Json user = {{"role", "user"}, {"content", "root of 144?"}};
  const Json result = {{"role", "tool"}, {"tool_call_id", "c0"}, {"content", "12"}};
  const int with =
      tokens({user, {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {call}}}, result});
  EXPECT_EQ(with, tokens({user, {{"role", "assistant"}, {"tool_calls", {call}}}, result}));
  EXPECT_GT(with, tokens({user, {{"role", "assistant"}, {"content", ""}}, result}) + 20);
  Json broken = call;
  broken["function"]["arguments"] = "{x";
  const Json messages = {user, {{"role", "assistant"}, {"tool_calls", {broken}}}};
  EXPECT_EQ(Refused(ChatCompletions, ChatBody({{"messages", messages}}).dump())["param"],
            "messages[1].tool_calls[0].function.arguments");
}

TEST_F(CompletionsTest, VariablesReachTheTemplate) {
  const auto tokens = [&](const Json& variables) {
    return Post(ChatCompletions, ChatBody({{"chat_template_kwargs", variables}}))["usage"]["prompt_tokens"]
        .get<int>();
  };
  EXPECT_EQ(tokens({{"mood", "calm"}}), tokens(Json::object()) + 4);
  const std::string refused =
      Refused(ChatCompletions, ChatBody({{"chat_template_kwargs", {{"moood", "calm"}}}}).dump())["message"];
  EXPECT_THAT(refused, ::testing::HasSubstr("moood"));
}

TEST_F(CompletionsTest, ErrorsSayWhatIsWrongAsOpenAiDoes) {
  const Json missing = Refused(ChatCompletions, "{}");
  EXPECT_EQ(missing["param"], "messages");
  EXPECT_EQ(missing["code"], "missing_required_parameter");
  const Json too_long = Refused(Completions, Json{{"prompt", std::string(5000, 'x')}}.dump());
  EXPECT_EQ(too_long["code"], "context_length_exceeded");
  EXPECT_EQ(too_long["param"], "prompt");
  const Json too_much = Refused(ChatCompletions, ChatBody({{"max_tokens", 99999}}).dump());
  EXPECT_EQ(too_much["code"], "context_length_exceeded");
  EXPECT_EQ(context_.in_flight, 0);
  const HttpReply unknown = Call(ModelById, "", {{"model", "other"}});
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(Json::parse(unknown.body)["error"]["code"], "model_not_found");
  EXPECT_EQ(Json::parse(unknown.body)["error"]["type"], "invalid_request_error");
  EXPECT_EQ(Json::parse(Call(ModelById, "", {{"model", "tiny"}}).body)["id"], "tiny");
}

TEST_F(CompletionsTest, TokenizesAndBack) {
  const Json tokens = Post(Tokenize, {{"prompt", "ab"}});
  EXPECT_EQ(tokens["tokens"], Json({1, 3 + 'a', 3 + 'b'}));
  EXPECT_EQ(tokens["count"], 3);
  EXPECT_EQ(tokens["max_model_len"], 2048);
  EXPECT_EQ(Post(Tokenize, {{"prompt", "ab"}, {"add_special_tokens", false}})["count"], 2);
  EXPECT_EQ(Post(Tokenize, {{"content", "ab"}})["tokens"], Json({3 + 'a', 3 + 'b'}));
  EXPECT_EQ(Post(Tokenize, {{"content", "</s>"}})["tokens"], Json::array({2}));
  EXPECT_EQ(Post(Tokenize, {{"content", "</s>"}, {"parse_special", false}})["count"], 4);
  EXPECT_EQ(Post(Tokenize, {{"content", "a"}, {"with_pieces", true}})["tokens"][0],
            Json({{"id", 3 + 'a'}, {"piece", "a"}}));
  EXPECT_EQ(Post(Detokenize, {{"tokens", {3 + 'a', 3 + 'b'}}})["prompt"], "ab");
  EXPECT_EQ(Post(Detokenize, {{"tokens", {1.0, 3.0 + 'b'}}})["content"], "b");
  EXPECT_THAT(Refused(Detokenize, R"({"tokens":[100000]})")["message"].get<std::string>(),
              HasSubstr("100000"));
  EXPECT_EQ(Refused(Tokenize, R"({"text":"a"})")["param"], "text");
  EXPECT_EQ(Refused(Tokenize, R"({"content":"a","prompt":"b"})")["param"], "prompt");
  EXPECT_EQ(Refused(Detokenize, R"({"tokens":[99999]})")["param"], "tokens");
}

TEST_F(CompletionsTest, EmbedsTextsAloneAndTogether) {
  const Json both = Post(Embeddings, {{"input", {"one", std::string(150, 'x')}}, {"model", "m"}});
  ASSERT_EQ(both["data"].size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(both["data"][i]["index"], i);
    const Json alone = Post(Embeddings, {{"input", i == 0 ? "one" : std::string(150, 'x')}});
    EXPECT_EQ(alone["data"][0]["embedding"], both["data"][i]["embedding"]);
    double squares = 0;
    for (const Json& x : both["data"][i]["embedding"]) squares += x.get<double>() * x.get<double>();
    EXPECT_NEAR(squares, 1, 1e-6);
  }
  EXPECT_EQ(both["usage"]["prompt_tokens"], 4 + 151);
  EXPECT_EQ(Post(Embeddings, {{"input", {1, 3 + 'a'}}})["data"], Post(Embeddings, {{"input", "a"}})["data"]);
  const std::string base64 =
      Post(Embeddings, {{"input", "a"}, {"encoding_format", "base64"}})["data"][0]["embedding"];
  EXPECT_EQ(base64.size(), 44u);  // 8 floats
  EXPECT_EQ(base64.substr(43), "=");
  const auto digit = [&](size_t i) {
    return static_cast<uint32_t>(
        std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/").find(base64[i]));
  };
  std::vector<unsigned char> bytes;
  for (size_t i = 0; i < 40; i += 4) {
    const uint32_t bits = digit(i) << 18 | digit(i + 1) << 12 | digit(i + 2) << 6 | digit(i + 3);
    for (const int shift : {16, 8, 0}) bytes.push_back(static_cast<unsigned char>(bits >> shift));
  }
  std::vector<float> values(7);
  std::memcpy(values.data(), bytes.data(), 28);
  const Json plain = Post(Embeddings, {{"input", "a"}})["data"][0]["embedding"];
  for (size_t i = 0; i < 7; ++i) EXPECT_EQ(plain[i].get<float>(), values[i]);
  EXPECT_EQ(Refused(Embeddings, R"({"input":"a","dimensions":4})")["param"], "dimensions");
  EXPECT_EQ(Refused(Embeddings, R"({"input":"a","encoding_format":"int8"})")["param"], "encoding_format");
  EXPECT_EQ(Refused(Embeddings, Json{{"input", std::string(3000, 'x')}}.dump())["code"],
            "context_length_exceeded");
}

// The documentation has every endpoint's table as it is.
TEST_F(CompletionsTest, TheDocumentationHasTheTables) {
  std::ifstream file(THRONG_SOURCE_DIR "/docs/api.md");
  std::stringstream text;
  text << file.rdbuf();
  for (const auto& [title, endpoint] : {std::pair{"POST /v1/chat/completions", kChat},
                                        {"POST /v1/completions", kText},
                                        {"POST /v1/embeddings", kEmbeddings},
                                        {"POST /v1/responses", kResponses},
                                        {"POST /tokenize", kTokenize},
                                        {"POST /detokenize", kDetokenize},
                                        {"POST /api/chat", kOllamaChat},
                                        {"POST /api/generate", kOllamaText},
                                        {"POST /api/embed", kOllamaEmbed},
                                        {"POST /api/embeddings", kOllamaEmbeddings},
                                        {"POST /api/show", kOllamaShow}}) {
    const std::string section = fmt::format("### {}\n{}", title, FieldsAsMarkdown(endpoint));
    EXPECT_NE(text.str().find(section), std::string::npos) << "docs/api.md must have:\n" << section;
  }
}

}  // namespace
}  // namespace throng::serve
