#include "jinja/text.h"

#include <string.h>

#include <algorithm>
#include <utility>

namespace throng::jinja {
namespace {

// The first range that ends after `pos`.
std::vector<ByteRange>::const_iterator FirstAfter(const std::vector<ByteRange>& ranges, size_t pos) {
  return std::ranges::upper_bound(ranges, pos, {}, &ByteRange::end);
}

}  // namespace

size_t FindBytes(std::string_view bytes, std::string_view needle, size_t from) {
  if (from > bytes.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  const void* found = memmem(bytes.data() + from, bytes.size() - from, needle.data(), needle.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - bytes.data());
}

Text::Text(Data data) {
  if (!data.bytes.empty()) data_ = std::make_shared<const Data>(std::move(data));
}

Text Text::Frame(std::string bytes) { return Text(Data{.bytes = std::move(bytes), .said = {}}); }

Text Text::Said(std::string bytes) {
  const size_t size = bytes.size();
  return Text(Data{.bytes = std::move(bytes), .said = {{0, size}}});
}

const std::vector<ByteRange>& Text::SaidRanges() const {
  static const std::vector<ByteRange> none;
  return data_ ? data_->said : none;
}

Text Text::Slice(size_t begin, size_t end) const {
  if (begin == 0 && end == Size()) return *this;
  TextBuilder builder;
  builder.Append(*this, begin, end);
  const Text slice = builder.Take();
  return IsMarkup() ? slice.AsMarkup() : slice;
}

Text Text::AsMarkup() const {
  if (IsMarkup() || Empty()) return *this;
  Data data = *data_;
  data.is_markup = true;
  return Text(std::move(data));
}

void TextBuilder::Append(const Text& text, size_t begin, size_t end) {
  if (begin >= end) return;
  const size_t offset = bytes_.size();
  bytes_ += text.View().substr(begin, end - begin);
  const std::vector<ByteRange>& said = text.SaidRanges();
  for (auto range = FirstAfter(said, begin); range != said.end() && range->begin < end; ++range) {
    AddSaid(offset + std::max(range->begin, begin) - begin, offset + std::min(range->end, end) - begin);
  }
}

void TextBuilder::AppendSaid(std::string_view bytes) {
  const size_t offset = bytes_.size();
  bytes_ += bytes;
  if (!bytes.empty()) AddSaid(offset, bytes_.size());
}

void TextBuilder::AppendFor(std::string_view bytes, const Text& text, size_t begin, size_t end) {
  const std::vector<ByteRange>& said = text.SaidRanges();
  const auto range = FirstAfter(said, begin);
  if (range != said.end() && range->begin < end) {
    AppendSaid(bytes);
  } else {
    AppendFrame(bytes);
  }
}

void TextBuilder::SetAllSaid() {
  said_.clear();
  if (!bytes_.empty()) said_.push_back({0, bytes_.size()});
}

void TextBuilder::AddSaid(size_t begin, size_t end) {
  if (!said_.empty() && said_.back().end == begin) {
    said_.back().end = end;
  } else {
    said_.push_back({begin, end});
  }
}

Text TextBuilder::Take() {
  Text::Data data{.bytes = std::move(bytes_), .said = std::move(said_)};
  bytes_.clear();
  said_.clear();
  return Text(std::move(data));
}

}  // namespace throng::jinja
