// What replies say is wrong with a request: the field and OpenAI's code of the error.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/testing/endpoint_rig.h"

namespace throng::serve {
namespace {

using ::testing::HasSubstr;

class RequestErrorsTest : public EndpointRig {
 protected:
  // "param code" of a body that is refused: more fields beside the least.
  std::string Error(Endpoint endpoint, Json more) {
    Json body = endpoint == ChatCompletions ? Json{{"messages", {{{"role", "user"}, {"content", "a"}}}}}
                : endpoint == Completions   ? Json{{"prompt", "a"}}
                                            : Json{{"input", "a"}};
    body.update(more);
    const Json error = Refused(endpoint, body.dump());
    EXPECT_EQ(error["type"], "invalid_request_error") << body;
    const auto text = [](const Json& value) { return value.is_null() ? "null" : value.get<std::string>(); };
    return text(error["param"]) + " " + text(error["code"]);
  }
};

TEST_F(RequestErrorsTest, ValuesThatAreNotAllowed) {
  EXPECT_EQ(Error(ChatCompletions, {{"temperature", "1"}}), "temperature invalid_type");
  EXPECT_EQ(Error(ChatCompletions, {{"temperature", -1}}), "temperature decimal_below_min_value");
  EXPECT_EQ(Error(ChatCompletions, {{"top_p", 1.5}}), "top_p decimal_above_max_value");
  EXPECT_EQ(Error(ChatCompletions, {{"n", 0}}), "n integer_below_min_value");
  EXPECT_EQ(Error(ChatCompletions, {{"n", 129}}), "n integer_above_max_value");
  EXPECT_EQ(Error(ChatCompletions, {{"n", 1.5}}), "n invalid_type");
  EXPECT_EQ(Error(ChatCompletions, {{"stream", "yes"}}), "stream invalid_type");
  EXPECT_EQ(Error(ChatCompletions, {{"messages", Json::array()}}), "messages empty_array");
  EXPECT_EQ(Error(ChatCompletions, {{"messages", "a"}}), "messages invalid_type");
  EXPECT_EQ(Error(ChatCompletions, {{"response_format", {{"type", "xml"}}}}),
            "response_format.type invalid_value");
  for (const char* type : {"json_object", "text"}) {
    EXPECT_EQ(Error(ChatCompletions,
                    {{"response_format", {{"type", type}, {"json_schema", {{"schema", Json::object()}}}}}}),
              "response_format.json_schema invalid_value");
  }
  EXPECT_EQ(Error(Completions, {{"prompt", Json::array({std::string(5000, 'x')})}}),
            "prompt context_length_exceeded");
  EXPECT_EQ(Error(Completions, {{"prompt", nullptr}}), "prompt missing_required_parameter");
  EXPECT_EQ(Error(CreateResponse, {{"max_output_tokens", 0}}), "max_output_tokens integer_below_min_value");
}

// A body that is none has no field that is at fault.
TEST_F(RequestErrorsTest, BodiesThatAreNone) {
  for (const char* body : {"", "{", "[]", "{\"messages\": 1e999}"}) {
    const Json error = Refused(ChatCompletions, body);
    EXPECT_EQ(error["param"], nullptr) << body;
    EXPECT_EQ(error["code"], "invalid_json") << body;
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("body: ")) << body;
  }
}

// JavaScript sends them where it cuts a text within a character. JSON allows them, texts have no such thing.
TEST_F(RequestErrorsTest, HalvesOfCharactersAreReplaced) {
  const auto text = [&](const std::string& escaped) {
    const HttpReply reply = Call(Completions, R"({"max_tokens":0,"echo":true,"prompt":")" + escaped + "\"}");
    EXPECT_EQ(reply.status, 200) << reply.body;
    return Json::parse(reply.body)["choices"][0]["text"].get<std::string>();
  };
  EXPECT_EQ(text(R"(a\ud83d)"), "a\uFFFD");
  EXPECT_EQ(text(R"(\uD83D\ude00\ude00b)"), "\U0001F600\uFFFDb");
  EXPECT_EQ(text(R"(\ud83d\ud83d\ude00)"), "\uFFFD\U0001F600");
  EXPECT_EQ(text(R"(\\ud83d\udc00\n)"), "\\ud83d\uFFFD\n");
  EXPECT_THAT(Refused(Completions, R"({"prompt":"\ud83d", x})")["message"].get<std::string>(),
              HasSubstr("not JSON at byte 21"));
  EXPECT_EQ(Refused(Completions, R"({"prompt":"\ud83)")["code"], "invalid_json");
}

// What cannot be compiled is the fault of the field that has it.
TEST_F(RequestErrorsTest, FormsThatCannotBeCompiled) {
  const Json wrong = {{"type", "nothing"}};
  const Json format = {{"type", "json_schema"}, {"json_schema", {{"name", "x"}, {"schema", wrong}}}};
  for (const Endpoint endpoint : {ChatCompletions, Completions}) {
    EXPECT_EQ(Error(endpoint, {{"response_format", format}}), "response_format null");
    EXPECT_EQ(Error(endpoint, {{"guided_json", wrong}}), "guided_json null");
    EXPECT_EQ(Error(endpoint, {{"grammar", "root ::= root"}}), "grammar null");
    EXPECT_EQ(Error(endpoint, {{"structured_outputs", {{"regex", "("}}}}), "structured_outputs.regex null");
  }
  const Json text = {{"format", {{"type", "json_schema"}, {"name", "x"}, {"schema", wrong}}}};
  EXPECT_EQ(Error(CreateResponse, {{"text", text}}), "text.format.schema null");
  const Json tool = {{"type", "function"}, {"function", {{"name", "f"}, {"parameters", wrong}}}};
  EXPECT_EQ(Error(ChatCompletions, {{"tools", Json::array({tool})}}),
            "tools[0].function.parameters invalid_function_parameters");
}

TEST_F(RequestErrorsTest, PromptsThatCannotBeMade) {
  EXPECT_EQ(Error(Completions, {{"prompt", Json::array({Json::array({1, 5}), Json::array({99999})})}}),
            "prompt invalid_value");
  EXPECT_EQ(Error(ChatCompletions, {{"chat_template_kwargs", {{"colour", "red"}}}}),
            "chat_template_kwargs.colour unsupported_parameter");
  for (const char* own : {"messages", "tools", "add_generation_prompt"}) {
    EXPECT_EQ(Error(ChatCompletions, {{"chat_template_kwargs", {{own, Json::array()}}}}),
              fmt::format("chat_template_kwargs.{} invalid_value", own));
  }
}

// Fields that contradict one another: none of them is left out in silence.
TEST_F(RequestErrorsTest, FieldsThatExcludeEachOther) {
  EXPECT_EQ(Error(ChatCompletions, {{"max_tokens", 3}, {"max_completion_tokens", 4}}),
            "max_tokens invalid_value");
  Post(ChatCompletions, Json::parse(R"({"messages":[{"role":"user","content":"a"}],"max_tokens":2,
                                       "max_completion_tokens":2,"stream_options":{"include_usage":false}})"));
  EXPECT_EQ(Error(ChatCompletions, {{"stream_options", {{"include_usage", true}}}}),
            "stream_options invalid_value");
  EXPECT_EQ(Error(Completions, {{"stream", false}, {"stream_options", {{"include_usage", true}}}}),
            "stream_options invalid_value");
}

}  // namespace
}  // namespace throng::serve
