#include "model/tokenizer/tokenizer_index.h"

#include <gtest/gtest.h>

#include <string>
#include <unordered_map>
#include <vector>

#include "base/rng.h"

namespace throng::model {
namespace {

TEST(TextIndex, FindsWhatAMapFinds) {
  for (const size_t room : {size_t{0}, size_t{100}, size_t{5000}}) {  // it grows beyond its room
    std::vector<std::string> texts;
    std::unordered_map<std::string, int32_t> map;
    TextIndex index(room);
    const auto text_of = [&](int32_t id) -> std::string_view { return texts[static_cast<size_t>(id)]; };
    CounterRng rng(1);
    for (int32_t id = 0; id < 4000; ++id) {
      std::string text;  // short, so that many occur twice; one is empty
      while (rng.NextDouble() < 0.7) text += static_cast<char>('a' + static_cast<int>(4 * rng.NextDouble()));
      texts.push_back(text);
      EXPECT_EQ(index.Insert(text, id, text_of), map.emplace(text, id).first->second);
    }
    for (const std::string& text : texts) EXPECT_EQ(index.Find(text, text_of), map.at(text));
    EXPECT_EQ(index.Find("none", text_of), -1);
    EXPECT_EQ(TextIndex().Find("", text_of), -1);
  }
}

}  // namespace
}  // namespace throng::model
