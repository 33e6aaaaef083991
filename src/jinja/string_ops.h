// Operations on strings that both methods and filters use. All keep what is known of said bytes.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "jinja/runtime.h"
#include "jinja/text.h"

namespace throng::jinja {

Text MapCharacters(Runtime& runtime, const Text& text, std::u32string (*map)(char32_t));
Text Capitalized(Runtime& runtime, const Text& text);
Text TitleCased(Runtime& runtime, const Text& text);  // str.title

// characters: those to strip; null: white space.
Text Stripped(Runtime& runtime, const Text& text, const Text* characters, bool left, bool right);

// At most `limit` cuts, counted from the left or from the right. The separator is not empty.
std::vector<Text> Split(Runtime& runtime, const Text& text, std::string_view separator, size_t limit,
                        bool from_right);
// Words between white space.
std::vector<Text> SplitSpace(Runtime& runtime, const Text& text, size_t limit, bool from_right);
std::vector<Text> SplitLines(Runtime& runtime, const Text& text, bool keep_ends);

// At most `limit` times; negative: all.
Text Replaced(Runtime& runtime, const Text& text, const Text& old, const Text& with, int64_t limit);

// For HTML: & < > and quotes.
Text Escaped(Runtime& runtime, const Text& text);

// To `width` characters with `fill`; align: < ^ >.
Text Justified(Runtime& runtime, const Text& text, int64_t width, const Text& fill, char align);

}  // namespace throng::jinja
