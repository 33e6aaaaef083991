// Strings that know which of their bytes come from what users say. Every operation on text is a Slice or goes
// through a TextBuilder, so the knowledge follows the bytes wherever a template puts them.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace throng::jinja {

// Where `needle` begins in `bytes` at or after `from`; npos if nowhere. Takes linear time whatever they are.
size_t FindBytes(std::string_view bytes, std::string_view needle, size_t from = 0);

struct ByteRange {
  size_t begin;
  size_t end;
  bool operator==(const ByteRange&) const = default;
};

// Immutable; copies share the bytes.
class Text {
 public:
  Text() = default;
  static Text Frame(std::string bytes);  // the template's own
  static Text Said(std::string bytes);

  std::string_view View() const { return data_ ? std::string_view(data_->bytes) : std::string_view(); }
  size_t Size() const { return View().size(); }
  bool Empty() const { return View().empty(); }
  // Ascending, disjoint, not empty, and not adjacent.
  const std::vector<ByteRange>& SaidRanges() const;
  bool HasSaid() const { return data_ && !data_->said.empty(); }

  Text Slice(size_t begin, size_t end) const;

  // Markup, as of the filters `safe` and `escape`: text that is added to it with + is escaped.
  Text AsMarkup() const;
  bool IsMarkup() const { return data_ && data_->is_markup; }

 private:
  friend class TextBuilder;
  struct Data {
    std::string bytes;
    std::vector<ByteRange> said;
    bool is_markup = false;
  };
  explicit Text(Data data);

  std::shared_ptr<const Data> data_;  // null: empty
};

class TextBuilder {
 public:
  void Append(const Text& text) { Append(text, 0, text.Size()); }
  // Only these bytes of the text.
  void Append(const Text& text, size_t begin, size_t end);
  void AppendFrame(std::string_view bytes) { bytes_ += bytes; }
  void AppendSaid(std::string_view bytes);
  // Other bytes in the place of those of `text` from begin to end, said if any of these are.
  void AppendFor(std::string_view bytes, const Text& text, size_t begin, size_t end);
  void SetAllSaid();

  size_t Size() const { return bytes_.size(); }
  bool HasSaid() const { return !said_.empty(); }
  Text Take();

 private:
  void AddSaid(size_t begin, size_t end);

  std::string bytes_;
  std::vector<ByteRange> said_;
};

}  // namespace throng::jinja
