#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "serve/testing/endpoint_rig.h"

namespace throng::serve {
namespace {

using ::testing::HasSubstr;

class OllamaTest : public EndpointRig {
 protected:
  using EndpointRig::EndpointRig;

  // The lines of a stream.
  std::vector<Json> Lines(Endpoint endpoint, const Json& body) {
    const HttpReply reply = Call(endpoint, body.dump());
    EXPECT_EQ(reply.status, 200) << reply.body;
    EXPECT_EQ(reply.type, "application/x-ndjson");
    std::vector<Json> lines;
    std::istringstream text(reply.body);
    for (std::string line; std::getline(text, line);) lines.push_back(Json::parse(line));
    return lines;
  }
};

TEST_F(OllamaTest, StreamsAddUpToTheWholeAnswer) {
  const Json options = {{"seed", 3}, {"num_predict", 30}};
  const Json bodies[] = {{{"messages", {{{"role", "user"}, {"content", "a"}}}}, {"options", options}},
                         {{"prompt", "a"}, {"system", "s"}, {"options", options}},
                         {{"prompt", "a"}, {"raw", true}, {"options", options}, {"keep_alive", "5m"}}};
  for (Json body : bodies) {
    const bool chat = body.contains("messages");
    const Endpoint endpoint = chat ? OllamaChat : OllamaGenerate;
    const auto text = [&](const Json& line) {
      return chat ? line["message"]["content"].get<std::string>() : line["response"].get<std::string>();
    };
    std::string streamed;
    const std::vector<Json> lines = Lines(endpoint, body);  // the default
    for (const Json& line : lines) {
      streamed += text(line);
      EXPECT_EQ(line["done"], &line == &lines.back());
      EXPECT_EQ(line["model"], "tiny:latest");
      EXPECT_THAT(line["created_at"].get<std::string>(), ::testing::MatchesRegex("20..-..-..T..:..:..Z"));
    }
    body["stream"] = false;
    const Json whole = Post(endpoint, body);
    EXPECT_EQ(text(whole), streamed);
    for (const char* name : {"done_reason", "prompt_eval_count", "eval_count"})
      EXPECT_EQ(whole[name], lines.back()[name]) << name;
    EXPECT_GT(whole["prompt_eval_count"], 1);
    EXPECT_LE(whole["eval_count"], 30);
  }
}

TEST_F(OllamaTest, ChatsAreTheSameAsOpenAis) {
  const Json messages = {{{"role", "system"}, {"content", "b"}}, {{"role", "user"}, {"content", "a"}}};
  const Json schema = {{"type", "string"}, {"pattern", "^[a-z]{9}$"}};
  const Json here =
      Post(OllamaChat, {{"messages", messages},
                        {"stream", false},
                        {"format", schema},
                        {"options", {{"seed", 3}, {"temperature", 1}, {"top_k", 0}, {"top_p", 1}}}});
  const Json there = Post(ChatCompletions, {{"messages", messages}, {"guided_json", schema}, {"seed", 3}});
  EXPECT_EQ(here["message"]["content"], there["choices"][0]["message"]["content"]);
  EXPECT_EQ(here["done_reason"], "stop");
}

TEST_F(OllamaTest, RefusesInOneSentence) {
  const auto refused = [&](Endpoint endpoint, const char* body) {
    return Refused(endpoint, body)["message"].get<std::string>();
  };
  EXPECT_THAT(refused(OllamaChat, R"({"prompt":"a"})"), HasSubstr("prompt: there is no such field"));
  EXPECT_THAT(refused(OllamaChat, R"({"messages":"a"})"), HasSubstr("messages: found \"a\""));
  EXPECT_THAT(refused(OllamaGenerate, R"({"prompt":"a","context":[1]})"), HasSubstr("context"));
  EXPECT_THAT(refused(OllamaGenerate, R"({"prompt":"a","options":{"repeat_last_n":64}})"),
              HasSubstr("options.repeat_last_n"));
  EXPECT_THAT(refused(OllamaGenerate, R"({"prompt":"a","options":{"temprature":0}})"),
              HasSubstr("options.temprature"));
  EXPECT_THAT(refused(OllamaGenerate, R"({"prompt":"a","options":{"num_predict":0}})"),
              HasSubstr("-2, -1, or 1"));
  EXPECT_EQ(Post(OllamaGenerate, {{"prompt", "a"},
                                  {"format", {{"const", 1}}},
                                  {"stream", false},
                                  {"options", {{"num_predict", -2}}}})["response"],
            "1");
  EXPECT_THAT(refused(OllamaGenerate, R"({"prompt":"a","format":"xml"})"), HasSubstr("format"));
  EXPECT_TRUE(Post(OllamaGenerate, {{"prompt", "a"}, {"format", "json"}, {"stream", false}})["response"]
                  .get<std::string>()
                  .starts_with('{'));
  EXPECT_THAT(refused(OllamaChat, R"({"messages":[{"role":"user","content":"a"}],"think":true})"),
              HasSubstr("think"));
}

// Clients send these to load a model, or to let it go.
TEST_F(OllamaTest, SaysThatTheModelIsLoaded) {
  for (const char* keep : {"0", R"("0")", R"("0s")", R"("0m0s")", "0.0"}) {
    const std::string body = fmt::format(R"({{"model":"m","keep_alive":{},"stream":false}})", keep);
    EXPECT_EQ(Json::parse(Call(OllamaGenerate, body).body)["done_reason"], "unload") << keep;
    EXPECT_EQ(Json::parse(Call(OllamaChat, body).body)["done_reason"], "unload") << keep;
  }
  for (const char* body :
       {"{}", R"({"prompt":""})", R"({"model":"m","prompt":"","keep_alive":"10m","stream":false})"}) {
    const Json reply = Json::parse(Call(OllamaGenerate, body).body);
    EXPECT_EQ(reply["response"], "");
    EXPECT_EQ(reply["done"], true);
    EXPECT_EQ(reply["done_reason"], "load");
  }
  for (const char* body : {"{}", R"({"messages":[],"keep_alive":-1})"}) {
    const Json reply = Json::parse(Call(OllamaChat, body).body);
    EXPECT_EQ(reply["message"]["content"], "");
    EXPECT_EQ(reply["done_reason"], "load");
  }
}

TEST_F(OllamaTest, Embeds) {
  const Json plain = Post(Embeddings, {{"input", {"a", "b c"}}});
  const Json both = Post(OllamaEmbed, {{"model", "m"}, {"input", {"a", "b c"}}, {"truncate", true}});
  ASSERT_EQ(both["embeddings"].size(), 2u);
  for (const size_t i : {0, 1}) EXPECT_EQ(both["embeddings"][i], plain["data"][i]["embedding"]);
  EXPECT_EQ(both["prompt_eval_count"], plain["usage"]["prompt_tokens"]);
  EXPECT_GT(both["total_duration"], 0);
  EXPECT_EQ(Post(OllamaEmbed, {{"input", "a"}, {"options", {{"num_ctx", 9}}}})["embeddings"],
            Json::array({both["embeddings"][0]}));
  EXPECT_EQ(Post(OllamaEmbeddings, {{"prompt", "a"}, {"keep_alive", "5m"}})["embedding"],
            both["embeddings"][0]);
  for (const char* nothing : {"{}", R"({"input":""})", R"({"input":[]})"})
    EXPECT_EQ(Json::parse(Call(OllamaEmbed, nothing).body)["embeddings"], Json::array()) << nothing;
  EXPECT_EQ(Post(OllamaEmbeddings, {{"prompt", ""}})["embedding"], Json::array());
  EXPECT_EQ(Refused(OllamaEmbed, R"({"input":["a",1]})")["param"], "input[1]");
  EXPECT_EQ(Refused(OllamaEmbed, R"({"input":{}})")["param"], "input");
  EXPECT_EQ(Refused(OllamaEmbed, R"({"input":"a","dimensions":4})")["param"], "dimensions");
  EXPECT_EQ(Refused(OllamaEmbed, Json{{"input", std::string(3000, 'x')}}.dump())["code"],
            "context_length_exceeded");
}

TEST_F(OllamaTest, TellsAboutTheModel) {
  EXPECT_EQ(Json::parse(Call(OllamaVersion, "").body)["version"],
            "0.12.0");  // of Ollama, as clients compare it
  const Json model = Json::parse(Call(OllamaTags, "").body)["models"].at(0);
  EXPECT_EQ(model["name"], "tiny:latest");
  EXPECT_EQ(model["details"]["format"], "gguf");
  const Json running = Json::parse(Call(OllamaPs, "").body)["models"].at(0);
  EXPECT_EQ(running["name"], model["name"]);
  EXPECT_EQ(running["size_vram"], 0);
  EXPECT_EQ(running["context_length"], 2048);
  EXPECT_THAT(running["expires_at"].get<std::string>(), ::testing::MatchesRegex("....-..-..T..:..:..Z"));
  const Json shown = Post(OllamaShow, {{"model", "tiny"}});
  EXPECT_EQ(shown["capabilities"], Json::array({"completion", "tools"}));
  EXPECT_EQ(shown["model_info"][".context_length"], 2048);  // this model has no architecture
}

class ThinkingOllamaTest : public OllamaTest {
 protected:
  ThinkingOllamaTest()
      : OllamaTest("{% for m in messages %}{{ m.content.split('</think>')[-1] }}{% endfor %}") {}
};

TEST_F(ThinkingOllamaTest, SaysThatTheModelThinks) {
  EXPECT_EQ(Post(OllamaShow, Json::object())["capabilities"],
            Json::array({"completion", "tools", "thinking"}));
}

}  // namespace
}  // namespace throng::serve
