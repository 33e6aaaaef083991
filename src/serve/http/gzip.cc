#include "serve/http/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <new>

#include "base/check.h"
#include "serve/http/text.h"

namespace throng::serve {
namespace {

constexpr size_t kWorthBytes = 16 << 10;
constexpr int kFast = 1;

}  // namespace

bool AcceptsGzip(const HttpRequest& request) {
  const auto found = request.headers.find("accept-encoding");
  if (found == request.headers.end()) return false;
  std::string_view list = found->second;
  while (!list.empty()) {
    const std::string_view entry = list.substr(0, list.find(','));
    list.remove_prefix(std::min(entry.size() + 1, list.size()));
    const std::string_view coding = entry.substr(0, entry.find(';'));
    if (LowerCase(Trim(coding)) != "gzip") continue;
    const size_t weight = entry.find("q=");
    return weight == entry.npos ||
           entry.find_first_of("123456789", weight) != entry.npos;  // q=0: not acceptable
  }
  return false;
}

std::string Gzip(std::string_view bytes, int level) {
  z_stream stream{};
  constexpr int kGzipWindow = 15 + 16;  // 15 bits, and 16 for gzip's header instead of zlib's
  constexpr int kMemory = 8;            // zlib's default
  if (deflateInit2(&stream, level, Z_DEFLATED, kGzipWindow, kMemory, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::bad_alloc();
  }
  std::string packed(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  const int result = deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  THRONG_CHECK(result == Z_STREAM_END);
  return packed;
}

void GzipIfWorth(const HttpRequest& request, HttpReply& reply) {
  if (reply.body.size() < kWorthBytes || reply.type == "application/octet-stream") return;
  reply.headers.emplace_back("Vary", "Accept-Encoding");
  if (!AcceptsGzip(request)) return;
  reply.body = Gzip(reply.body, kFast);
  reply.headers.emplace_back("Content-Encoding", "gzip");
}

}  // namespace throng::serve
