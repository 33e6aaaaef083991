#include "jinja/string_ops.h"

#include <algorithm>

#include "jinja/unicode.h"

namespace throng::jinja {
namespace {

// Calls visit(character, begin, end) for each character.
template <typename Visit>
void ForEach(Runtime& runtime, const Text& text, Visit&& visit) {
  runtime.Touch(text.Size());
  const std::string_view bytes = text.View();
  for (size_t pos = 0; pos < bytes.size();) {
    const CodePoint c = CodePointAt(bytes, pos);
    visit(c.value, pos, pos + c.length);
    pos += c.length;
  }
}

void AppendMapped(const std::u32string& to, const Text& text, size_t begin, size_t end, TextBuilder& out) {
  std::string bytes;
  for (const char32_t c : to) AppendCodePoint(c, bytes);
  out.AppendFor(bytes, text, begin, end);
}

// Lines end as Python's str.splitlines says. The length of the line break at `pos`, 0 if there is none.
size_t LineBreakAt(std::string_view bytes, size_t pos) {
  if (bytes.substr(pos, 2) == "\r\n") return 2;
  const CodePoint c = CodePointAt(bytes, pos);
  const bool is_break = (c.value >= 0x0A && c.value <= 0x0D) || (c.value >= 0x1C && c.value <= 0x1E) ||
                        c.value == 0x85 || c.value == 0x2028 || c.value == 0x2029;
  return is_break ? c.length : 0;
}

}  // namespace

Text MapCharacters(Runtime& runtime, const Text& text, std::u32string (*map)(char32_t)) {
  TextBuilder out;
  ForEach(runtime, text,
          [&](char32_t c, size_t begin, size_t end) { AppendMapped(map(c), text, begin, end, out); });
  return out.Take();
}

Text Capitalized(Runtime& runtime, const Text& text) {
  TextBuilder out;
  ForEach(runtime, text, [&](char32_t c, size_t begin, size_t end) {
    AppendMapped(begin == 0 ? ToTitle(c) : ToLower(c), text, begin, end, out);
  });
  return out.Take();
}

Text TitleCased(Runtime& runtime, const Text& text) {
  TextBuilder out;
  bool in_word = false;
  ForEach(runtime, text, [&](char32_t c, size_t begin, size_t end) {
    AppendMapped(in_word ? ToLower(c) : ToTitle(c), text, begin, end, out);
    in_word = IsUpper(c) || IsLower(c);
  });
  return out.Take();
}

Text Stripped(Runtime& runtime, const Text& text, const Text* characters, bool left, bool right) {
  runtime.Touch(text.Size());
  const std::string_view bytes = text.View();
  if (characters == nullptr) {
    const size_t begin = left ? LeadingSpace(bytes) : 0;
    return text.Slice(begin, bytes.size() - (right ? TrailingSpace(bytes.substr(begin)) : 0));
  }
  const auto strips = [&](size_t begin, size_t length) {
    runtime.Touch(characters->Size());
    return FindBytes(characters->View(), bytes.substr(begin, length)) != std::string_view::npos;
  };
  size_t begin = 0, end = bytes.size();
  while (left && begin < end) {
    const size_t length = CodePointAt(bytes, begin).length;
    if (!strips(begin, length)) break;
    begin += length;
  }
  while (right && begin < end) {
    size_t last = end - 1;
    while (last > begin && (static_cast<unsigned char>(bytes[last]) & 0xC0) == 0x80) --last;
    if (!strips(last, end - last)) break;
    end = last;
  }
  return text.Slice(begin, end);
}

std::vector<Text> Split(Runtime& runtime, const Text& text, std::string_view separator, size_t limit,
                        bool from_right) {
  runtime.Touch(text.Size());
  std::vector<size_t> cuts;
  const std::string_view bytes = text.View();
  if (from_right) {
    size_t end = bytes.size();
    while (cuts.size() < limit && end >= separator.size()) {
      // Searching backward may compare the separator at each byte.
      if (separator.size() > 64) runtime.Touch(end * separator.size());
      const size_t found = bytes.rfind(separator, end - separator.size());
      if (found == std::string_view::npos) break;
      runtime.Touch(separator.size());
      cuts.push_back(found);
      end = found;
    }
    std::ranges::reverse(cuts);
  } else {
    for (size_t pos = 0; cuts.size() < limit; pos += separator.size()) {
      pos = FindBytes(bytes, separator, pos);
      if (pos == std::string_view::npos) break;
      cuts.push_back(pos);
    }
  }
  runtime.Touch((cuts.size() + 1) * 64);
  std::vector<Text> parts;
  size_t begin = 0;
  for (const size_t cut : cuts) {
    parts.push_back(text.Slice(begin, cut));
    begin = cut + separator.size();
  }
  parts.push_back(text.Slice(begin, bytes.size()));
  return parts;
}

std::vector<Text> SplitSpace(Runtime& runtime, const Text& text, size_t limit, bool from_right) {
  std::vector<ByteRange> words;
  bool in_word = false;
  ForEach(runtime, text, [&](char32_t c, size_t begin, size_t end) {
    if (IsSpace(c)) {
      in_word = false;
    } else {
      if (!std::exchange(in_word, true)) words.push_back({begin, end});
      words.back().end = end;
    }
  });
  if (words.empty()) return {};
  if (words.size() - 1 > limit) {  // the rest stays in one piece, with the space at its outer end
    if (from_right) {
      const auto first = words.end() - static_cast<std::ptrdiff_t>(limit) - 1;
      words.erase(words.begin(), first);
      words.front().begin = 0;
    } else {
      words.resize(limit + 1);
      words.back().end = text.Size();
    }
  }
  runtime.Touch(words.size() * 64);
  std::vector<Text> parts;
  for (const ByteRange& word : words) parts.push_back(text.Slice(word.begin, word.end));
  return parts;
}

std::vector<Text> SplitLines(Runtime& runtime, const Text& text, bool keep_ends) {
  runtime.Touch(text.Size());
  const std::string_view bytes = text.View();
  std::vector<Text> lines;
  size_t begin = 0;
  for (size_t pos = 0; pos < bytes.size();) {
    const size_t line_break = LineBreakAt(bytes, pos);
    if (line_break == 0) {
      pos += CodePointAt(bytes, pos).length;
      continue;
    }
    runtime.Touch(64);
    lines.push_back(text.Slice(begin, pos + (keep_ends ? line_break : 0)));
    begin = pos += line_break;
  }
  if (begin < bytes.size()) lines.push_back(text.Slice(begin, bytes.size()));
  return lines;
}

Text Replaced(Runtime& runtime, const Text& text, const Text& old, const Text& with, int64_t limit) {
  runtime.Touch(text.Size());
  TextBuilder out;
  const std::string_view bytes = text.View();
  size_t begin = 0;
  for (size_t pos = 0; limit != 0; --limit) {
    pos = FindBytes(bytes, old.View(), pos);
    if (pos == std::string_view::npos) break;
    runtime.Touch(with.Size() + 1);
    out.Append(text, begin, pos);
    out.Append(with);
    begin = pos + old.Size();
    pos = begin;
    if (old.Empty()) {  // between all characters
      if (pos == bytes.size()) break;
      pos += CodePointAt(bytes, pos).length;
    }
  }
  out.Append(text, begin, bytes.size());
  return out.Take();
}

Text Escaped(Runtime& runtime, const Text& text) {
  TextBuilder out;
  for (size_t pos = 0; pos < text.Size(); ++pos) {
    runtime.Touch(1);
    constexpr std::string_view kSpecial = "&<>'\"";
    constexpr std::string_view kNames[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    const size_t special = kSpecial.find(text.View()[pos]);
    if (special == std::string_view::npos) {
      out.Append(text, pos, pos + 1);
    } else {
      out.AppendFor(kNames[special], text, pos, pos + 1);
    }
  }
  return out.Take();
}

Text Justified(Runtime& runtime, const Text& text, int64_t width, const Text& fill, char align) {
  const auto length = static_cast<int64_t>(CountCodePoints(text.View()));
  runtime.Touch(text.Size());
  if (width <= length) return text;
  const int64_t missing = width - length;
  runtime.Touch(static_cast<uint64_t>(missing));
  // str.center puts the odd one to the left if the width is odd.
  const int64_t before = align == '<' ? 0 : align == '>' ? missing : missing / 2 + (missing & width & 1);
  TextBuilder out;
  for (int64_t i = 0; i < before; ++i) out.Append(fill);
  out.Append(text);
  for (int64_t i = before; i < missing; ++i) out.Append(fill);
  return out.Take();
}

}  // namespace throng::jinja
