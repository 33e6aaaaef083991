#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/responses/response_store.h"
#include "serve/testing/endpoint_rig.h"

namespace throng::serve {
namespace {

using ::testing::StartsWith;

class ResponsesTest : public EndpointRig {
 protected:
  static Json Body(Json more = Json::object()) {
    Json body = {{"input", "a"}, {"seed", 3}, {"max_output_tokens", 20}};
    body.update(more);
    return body;
  }
  static std::string TextOf(const Json& response) { return response["output"][0]["content"][0]["text"]; }
  // The answer of a chat completion with the same seed.
  std::string Chat(const Json& messages) {
    const Json body = {{"messages", messages}, {"seed", 3}, {"max_tokens", 20}};
    return Post(ChatCompletions, body)["choices"][0]["message"]["content"];
  }
};

TEST_F(ResponsesTest, AnswersAsChatsDo) {
  const Json response = Post(CreateResponse, Body({{"instructions", "b"}, {"metadata", {{"k", "v"}}}}));
  const Json user = {{"role", "user"}, {"content", "a"}};
  EXPECT_EQ(TextOf(response), Chat({{{"role", "system"}, {"content", "b"}}, user}));
  EXPECT_THAT(response["id"].get<std::string>(), StartsWith("resp_"));
  EXPECT_EQ(response["object"], "response");
  EXPECT_EQ(response["metadata"]["k"], "v");
  EXPECT_EQ(response["instructions"], "b");
  const bool whole = response["usage"]["output_tokens"] < 20;
  EXPECT_EQ(response["status"], whole ? "completed" : "incomplete");
  const Json reason = {{"reason", "max_output_tokens"}};
  EXPECT_EQ(response["incomplete_details"], whole ? Json() : reason);
  const Json parts = {
      {{"type", "message"}, {"role", "user"}, {"content", {{{"type", "input_text"}, {"text", "a"}}}}}};
  EXPECT_EQ(TextOf(Post(CreateResponse, Body({{"input", parts}}))), Chat(Json::array({user})));
  const Json schema = {{"enum", {"x", "y"}}};
  const Json format = {{"format", {{"type", "json_schema"}, {"name", "n"}, {"schema", schema}}}};
  EXPECT_THAT(TextOf(Post(CreateResponse, Body({{"text", format}}))), ::testing::AnyOf("\"x\"", "\"y\""));
}

TEST_F(ResponsesTest, NamesTheSettingsThatItTook) {
  const Json format = {{"type", "text"}};
  for (const Json& text : {Json(), Json::object(), Json{{"format", nullptr}}, Json{{"format", format}}})
    EXPECT_EQ(Post(CreateResponse, Body({{"text", text}}))["text"], (Json{{"format", format}}));
  const Json none = {{"effort", nullptr}, {"summary", nullptr}};
  EXPECT_EQ(Post(CreateResponse, Body({{"reasoning", Json::object()}}))["reasoning"], none);
}

TEST_F(ResponsesTest, GoesOnFromTheLastOne) {
  const Json format = {{"format", {{"type", "json_schema"}, {"schema", {{"enum", {"x", "y"}}}}}}};
  const Json first = Post(CreateResponse, Body({{"instructions", "not again"}, {"text", format}}));
  const Json second = Post(CreateResponse, Body({{"input", "c"}, {"previous_response_id", first["id"]}}));
  EXPECT_EQ(TextOf(second), Chat({{{"role", "user"}, {"content", "a"}},
                                  {{"role", "assistant"}, {"content", TextOf(first)}},
                                  {{"role", "user"}, {"content", "c"}}}));
  const std::map<std::string, std::string> id = {{"id", first["id"]}};
  EXPECT_EQ(Json::parse(Call(GetResponse, "", id).body), first);
  EXPECT_EQ(Json::parse(Call(DeleteResponse, "", id).body)["deleted"], true);
  EXPECT_EQ(Call(GetResponse, "", id).status, 404);
  EXPECT_EQ(Call(DeleteResponse, "", id).status, 404);
  const Json gone = Refused(CreateResponse, Body({{"previous_response_id", first["id"]}}).dump());
  EXPECT_EQ(gone["code"], "previous_response_not_found");
  const Json unkept = Post(CreateResponse, Body({{"store", false}}));
  EXPECT_EQ(Call(GetResponse, "", {{"id", unkept["id"]}}).status, 404);
}

// As clients do that send a chat anew, but not what the server has.
TEST_F(ResponsesTest, TakesItemsByReference) {
  const Json user = {{"role", "user"}, {"content", "a"}};
  const Json more = {{"role", "user"}, {"content", "c"}};
  const Json first = Post(CreateResponse, Body());
  const Json reference = {{"type", "item_reference"}, {"id", first["output"][0]["id"]}};
  const Json second = Post(CreateResponse, Body({{"input", {user, reference, more}}}));
  EXPECT_EQ(TextOf(second), Chat({user, {{"role", "assistant"}, {"content", TextOf(first)}}, more}));
  EXPECT_EQ(Refused(CreateResponse, Body({{"input", {reference, reference}}}).dump())["param"],
            "input[1].id");
  Call(DeleteResponse, "", {{"id", first["id"]}});
  const Json gone = Refused(CreateResponse, Body({{"input", {user, reference}}}).dump());
  EXPECT_EQ(gone["param"], "input[1].id");
  EXPECT_EQ(gone["code"], "item_not_found");
}

TEST_F(ResponsesTest, StreamsEventsInTheirOrder) {
  const std::vector<Json> events = Stream(CreateResponse, Body());
  std::vector<std::string> types;
  std::string text;
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i]["sequence_number"], i);
    const std::string type = events[i]["type"];
    if (types.empty() || types.back() != type) types.push_back(type);
    if (type == "response.output_text.delta") text += events[i]["delta"].get<std::string>();
  }
  const Json last = events.back()["response"];
  EXPECT_EQ(types, (std::vector<std::string>{"response.created", "response.in_progress",
                                             "response.output_item.added", "response.content_part.added",
                                             "response.output_text.delta", "response.output_text.done",
                                             "response.content_part.done", "response.output_item.done",
                                             fmt::format("response.{}", last["status"].get<std::string>())}));
  EXPECT_EQ(text, TextOf(last));
  EXPECT_EQ(text, TextOf(Post(CreateResponse, Body())));
  EXPECT_EQ(events[0]["response"]["status"], "in_progress");
}

TEST_F(ResponsesTest, RefusesByName) {
  const std::pair<const char*, Json> wrong[] = {
      {"input", {{"input", nullptr}}},
      {"input[0].type", {{"input", {{{"type", "computer_call"}, {"id", "x"}}}}}},
      {"input[0].id", {{"input", {{{"type", "item_reference"}, {"id", "x"}}}}}},
      {"input[0].output[0].type",
       {{"input", {{{"type", "function_call_output"}, {"output", {{{"type", "input_image"}}}}}}}}},
      {"input[0].arguments", {{"input", {{{"type", "function_call"}, {"name", "f"}, {"arguments", "{"}}}}}},
      {"tools[0].type", {{"tools", {{{"type", "web_search"}}}}}},
      {"tools[0].function", {{"tools", {{{"type", "function"}, {"function", {{"name", "f"}}}}}}}},
      {"reasoning.effort", {{"reasoning", {{"effort", "high"}}}}},
      {"reasoning.max_tokens", {{"reasoning", {{"max_tokens", 5}}}}},
      {"background", {{"background", true}}},
      {"text.verbosity", {{"text", {{"verbosity", "low"}}}}},
      {"messages", {{"messages", {{{"role", "user"}, {"content", "x"}}}}}},
      {"truncation", {{"truncation", "auto"}}},
      {"max_output_tokens", {{"max_output_tokens", 0}}},
  };
  for (const auto& [param, more] : wrong)
    EXPECT_EQ(Refused(CreateResponse, Body(more).dump())["param"], param);
}

TEST(ResponseStore, ForgetsThoseUsedLongestAgo) {
  ResponseStore store(10000);
  const auto put = [&](const char* id, size_t bytes) {
    store.Put({id, std::string(bytes, 'x'), Json(), Json::array({{{"id", std::string("item ") + id}}})});
  };
  put("a", 4000);
  put("b", 4000);
  EXPECT_TRUE(store.Find("a"));
  put("c", 4000);
  EXPECT_FALSE(store.Find("b"));
  EXPECT_TRUE(store.FindItem("item b").is_null());
  EXPECT_EQ(store.FindItem("item a")["id"], "item a");
  EXPECT_TRUE(store.Find("a"));
  put("too large", 20000);
  EXPECT_FALSE(store.Find("too large"));
  EXPECT_TRUE(store.Find("c"));
  EXPECT_TRUE(store.Remove("c"));
  EXPECT_FALSE(store.Find("c"));
}

}  // namespace
}  // namespace throng::serve
