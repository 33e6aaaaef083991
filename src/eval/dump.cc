#include "eval/dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <fstream>

#include "base/error.h"
#include "eval/subject.h"
#include "model/config.h"

namespace throng::eval {
namespace {

static_assert(std::endian::native == std::endian::little, "the header says so");

// Magic, version 1.0, length of the description, and the description, padded to a multiple of 64 bytes.
std::string NpyHeader(const std::string& shape) {
  std::string text = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", shape);
  constexpr size_t kPrefix = 10;
  text.append(63 - (kPrefix + text.size()) % 64, ' ').push_back('\n');
  const std::string magic("\x93NUMPY\x01\x00", 8);
  return magic + static_cast<char>(text.size() & 0xff) + static_cast<char>(text.size() >> 8) + text;
}

// All pages of one block.
void AppendBlock(const kv::SequenceCache& cache, int block, std::vector<float>& pages) {
  const kv::BlockLayout& layout = cache.Layout();
  const kv::LayerShape& shape = layout.layers.front();
  const size_t page_size = static_cast<size_t>(kv::kPageTokens) * static_cast<size_t>(shape.key_dim);
  for (int layer = 0; layer < layout.NumLayers(); ++layer) {
    for (int head = 0; head < shape.num_kv_heads; ++head) {
      const kv::PageSpec& spec = layout.At(layer, head);
      const kv::PageView view = cache.Sealed(layer, head, block);
      pages.resize(pages.size() + 2 * page_size);
      spec.keys->Decode(kv::Part::kKeys, view.keys, pages.data() + pages.size() - 2 * page_size);
      spec.values->Decode(kv::Part::kValues, view.values, pages.data() + pages.size() - page_size);
    }
  }
}

}  // namespace

size_t DumpPages(const engine::LoadedModel& model, std::span<const std::vector<int32_t>> texts,
                 size_t max_pages, const std::string& path, ThreadPool& threads) {
  const model::ModelConfig& config = model.transformer->Config();
  if (!kv::AreAlike(config.cache_layers)) {
    throw MakeError(ErrorCode::kUnsupported,
                    "eval: pages of {} do not fit into one array, which layers of one shape do",
                    kv::ShapeName(config.cache_layers));
  }
  Subject subject("f32:bias=off", kv::SoftmaxKind::kExact, model, threads);
  std::vector<float> pages;
  size_t num_pages = 0;
  for (const std::vector<int32_t>& text : texts) {
    const std::span<const int32_t> tokens =
        std::span(text).first(std::min(text.size(), static_cast<size_t>(config.context_length)));
    for (size_t first = 0; first < tokens.size(); first += kChunk) {
      subject.Forward(tokens.subspan(first, std::min<size_t>(kChunk, tokens.size() - first)), subject.Cache(),
                      0, nullptr);
    }
    const size_t blocks = std::min(tokens.size() / kv::kPageTokens, max_pages - num_pages);
    for (size_t block = 0; block < blocks; ++block)
      AppendBlock(subject.Cache(), static_cast<int>(block), pages);
    num_pages += blocks;
    subject.Cache().Release();
    if (num_pages == max_pages) break;
  }
  if (num_pages == 0) {
    throw MakeError(ErrorCode::kInvalid, "eval: no text has {} tokens, so that there is no page to write",
                    kv::kPageTokens);
  }
  std::ofstream file(path, std::ios::binary);
  const kv::LayerShape& shape = config.cache_layers.front();
  file << NpyHeader(fmt::format("{}, {}, {}, 2, {}, {}", num_pages, config.cache_layers.size(),
                                shape.num_kv_heads, kv::kPageTokens, shape.key_dim));
  file.write(reinterpret_cast<const char*>(pages.data()),
             static_cast<std::streamsize>(pages.size() * sizeof(float)));
  if (!file.flush()) throw MakeError(ErrorCode::kIo, "{}: cannot write", path);
  return num_pages;
}

}  // namespace throng::eval
