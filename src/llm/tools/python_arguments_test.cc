#include "llm/tools/python_arguments.h"

#include <gtest/gtest.h>

namespace throng::llm {
namespace {

// The JSON of a text that comes in pieces of a few bytes, as far as the call goes.
std::string InPieces(std::string_view text, size_t size) {
  PythonArguments arguments({"first", "second"});
  std::string held, json;
  for (size_t at = 0; at < text.size() && !arguments.Done(); at += size) {
    held += text.substr(at, size);
    held.erase(0, arguments.Take(held, at + size >= text.size(), json));
  }
  return json;
}

TEST(PythonArguments, BecomeJson) {
  const std::pair<const char*, const char*> cases[] = {
      {")", "{}"},
      {" ) and more", "{}"},
      {"city=\"Rome\", days=3)", R"({"city":"Rome","days":3})"},
      {"a = 'it\\'s \"so\"',\n b='')", R"({"a":"it's \"so\"","b":""})"},
      {"a=[1, 2.5, -3, +4, 1_000, .5, 5., 0x1F, 1e3],)", R"({"a":[1,2.5,-3,4,1000,0.5,5.0,31,1e3]})"},
      {"a=True, b=False, c=None, d=true, e=null)", R"({"a":true,"b":false,"c":null,"d":true,"e":null})"},
      {"a={'x': [1, {}], \"y\": {'z': None}, 3: 4}, b=(1, 'two'), c=[])",
       R"({"a":{"x":[1,{}],"y":{"z":null},"3":4},"b":[1,"two"],"c":[]})"},
      {"\"Rome\", 3, 4, e=5)", R"({"first":"Rome","second":3,"2":4,"e":5})"},
      {"a=\"\"\"two \"lines\"\n\"\"\", b='\\n\\t\\\\ \\x41 \\u00fc \\U0001f600 \\ud83d\\ude00 \\q')",
       "{\"a\":\"two \\\"lines\\\"\\n\",\"b\":\"\\n\\t\\\\ A ü 😀 \\ud83d\\ude00 \\\\q\"}"},
      {"a=today, b=\"ü)\")", R"_({"a":"today","b":"ü)"})_"},
      {"a=\"cut", R"({"a":"cut)"},
      {"a=1", R"({"a":1)"},
  };
  for (const auto& [text, json] : cases) {
    for (const size_t size : {1, 2, 3, 5, 1000})
      EXPECT_EQ(InPieces(text, size), json) << text << " by " << size;
  }
}

}  // namespace
}  // namespace throng::llm
