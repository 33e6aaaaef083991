#include "serve/http/request_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http/parser.hpp>
#include <charconv>
#include <limits>

#include "base/check.h"
#include "serve/http/error_reply.h"
#include "serve/http/target.h"
#include "serve/http/text.h"

namespace throng::serve {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;

constexpr std::string_view kEndOfHeader = "\r\n\r\n";
// Room for the line before a chunk and for trailers, which are read and ignored.
constexpr size_t kChunkHeaderBytes = 4096;

std::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

// A body that grows as it arrives: Beast's own would reserve whatever Content-Length claims.
struct GrowingBody {
  using value_type = std::string;
  class reader {
   public:
    template <bool kIsRequest, class Fields>
    reader(http::header<kIsRequest, Fields>&, value_type& body) : body_(body) {}
    void init(const boost::optional<uint64_t>&, beast::error_code& error) { error = {}; }
    template <class Buffers>
    size_t put(const Buffers& buffers, beast::error_code& error) {
      error = {};
      const size_t before = body_.size();
      for (const auto buffer : beast::buffers_range_ref(buffers)) {
        body_.append(static_cast<const char*>(buffer.data()), buffer.size());
      }
      return body_.size() - before;
    }
    void finish(beast::error_code& error) { error = {}; }

   private:
    value_type& body_;
  };
};

}  // namespace

class RequestReader::Parser : public http::request_parser<GrowingBody> {};

std::string_view RequestHead::Header(const std::string& name) const {
  const auto found = request.headers.find(name);
  return found == request.headers.end() ? std::string_view() : found->second;
}

RequestReader::RequestReader(const HttpLimits& limits) : limits_(limits) {}
RequestReader::~RequestReader() = default;

size_t RequestReader::Room() const {
  if (state_ == State::kWrong) return 0;
  const size_t most = limits_.header_bytes + kChunkHeaderBytes;
  return most - std::min(most, bytes_.size());
}

void RequestReader::Append(std::string_view bytes) { bytes_ += bytes; }

bool RequestReader::IsIdle() const { return state_ == State::kHead && bytes_.empty(); }

size_t RequestReader::BodyBytes() const { return parser_ ? parser_->get().body().size() : 0; }

RequestReader::State RequestReader::Advance() {
  if (state_ == State::kHead) return ReadHead();
  if (state_ == State::kBody) return ReadBody();
  return state_;
}

RequestReader::State RequestReader::Fail(int status, std::string_view message) {
  problem_ = ErrorReply(status, message);
  bytes_.clear();
  parser_.reset();
  return state_ = State::kWrong;
}

RequestReader::State RequestReader::ReadHead() {
  // Empty lines before a request are allowed, as some old clients send one after a body.
  const size_t begin = std::min(bytes_.find_first_not_of("\r\n"), bytes_.size());
  if (begin > 0) {
    bytes_.erase(0, begin);
    searched_ = 0;
  }
  const size_t end = bytes_.find(kEndOfHeader, searched_);
  const size_t header_bytes = end == bytes_.npos ? bytes_.size() : end + kEndOfHeader.size();
  if (header_bytes > limits_.header_bytes) {
    return Fail(431, fmt::format("header: it is longer than {} bytes, the most that is allowed",
                                 limits_.header_bytes));
  }
  // Some bytes can begin no request, and some lines never end a header: whoever sends them is told at once.
  if (!bytes_.empty() && (bytes_[0] <= ' ' || bytes_[0] == 127)) {
    return Fail(400, "request: it is no HTTP; for TLS, put a proxy in front of this server");
  }
  for (size_t i = std::max<size_t>(searched_, 1); i < header_bytes; ++i) {
    if (bytes_[i] == '\n' && bytes_[i - 1] != '\r')
      return Fail(400, "header: a line ends without CR before LF");
  }
  if (end == bytes_.npos) {
    searched_ = bytes_.size() - std::min(bytes_.size(), kEndOfHeader.size() - 1);
    return state_;
  }
  // The whole header at once: the parser's own limit holds for each call only.
  parser_ = std::make_unique<Parser>();
  parser_->header_limit(static_cast<uint32_t>(limits_.header_bytes) + 1);
  // Checked once it is known who asks. (No limit would refuse every body: Beast 1.74 compares with it.)
  parser_->body_limit(std::numeric_limits<uint64_t>::max());
  beast::error_code error;
  const size_t parsed = parser_->put(boost::asio::buffer(bytes_.data(), header_bytes), error);
  if (error == http::error::bad_version) return Fail(505, "request: allowed are HTTP/1.0 and HTTP/1.1");
  if (error || !parser_->is_header_done() || parsed != header_bytes) {
    return Fail(400, fmt::format("request: it is no HTTP that this server understands{}",
                                 error && error != http::error::need_more ? ": " + error.message() : ""));
  }
  bytes_.erase(0, header_bytes);
  searched_ = 0;
  return Check();
}

RequestReader::State RequestReader::Check() {
  const auto& message = parser_->get();
  head_ = {};
  head_.http11 = message.version() == 11;
  head_.keep_alive = parser_->keep_alive();
  head_.target = View(message.target());
  HttpRequest& request = head_.request;
  request.method = View(message.method_string());
  int fields = 0;
  for (const auto& field : message) {
    ++fields;
    const std::string name = LowerCase(View(field.name_string()));
    const auto [found, is_new] = request.headers.emplace(name, View(field.value()));
    if (is_new) continue;
    if (name == "host" || name == "content-length" || name == "transfer-encoding" ||
        name == "authorization" || name == "origin") {
      return Fail(400, name + ": found more than once");
    }
    found->second += ", ";
    found->second += View(field.value());
  }
  if (fields > limits_.header_fields) {
    return Fail(431, fmt::format("header: found {} fields, allowed: {}", fields, limits_.header_fields));
  }
  auto target = ParseTarget(head_.target);
  if (!target) return Fail(400, "address: it is not one, or has a wrong escape");
  request.path = std::move(target->path);
  request.query = std::move(target->query);
  if (!target->authority.empty()) request.headers["host"] = std::move(target->authority);
  const std::string_view host = head_.Header("host");
  if (head_.http11 && host.empty()) return Fail(400, "host: it is missing");
  if (!host.empty() && !HostOf(host)) return Fail(400, "host: it is no name or address");

  // One way to say how long a body is, or somebody before this server may have seen another request.
  if (request.headers.contains("transfer-encoding")) {
    if (!head_.http11 || LowerCase(head_.Header("transfer-encoding")) != "chunked" || !parser_->chunked()) {
      return Fail(head_.http11 ? 501 : 400, "transfer-encoding: allowed is chunked alone");
    }
    head_.has_body = true;
  } else if (request.headers.contains("content-length")) {
    const std::string_view text = head_.Header("content-length");
    const auto [last, error] = std::from_chars(text.data(), text.data() + text.size(), head_.content_length);
    if (error != std::errc() || last != text.data() + text.size()) {
      return Fail(400, "content-length: it is no number");
    }
    head_.has_body = head_.content_length > 0;
  }
  if (const std::string expected = LowerCase(head_.Header("expect")); !expected.empty()) {
    if (expected != "100-continue") return Fail(417, "expect: allowed is 100-continue");
    head_.expects_continue = head_.http11 && head_.has_body && bytes_.empty();
  }
  return state_ = State::kDecide;
}

void RequestReader::Accept() {
  THRONG_CHECK(state_ == State::kDecide);
  parser_->eager(true);
  parser_->body_limit(limits_.body_bytes);
  state_ = head_.has_body ? State::kBody : State::kComplete;
}

RequestReader::State RequestReader::ReadBody() {
  beast::error_code error;
  while (!parser_->is_done() && !bytes_.empty()) {
    const size_t parsed = parser_->put(boost::asio::buffer(bytes_), error);
    bytes_.erase(0, parsed);
    if (error == http::error::need_more) {
      if (bytes_.size() > kChunkHeaderBytes) {
        return Fail(400, fmt::format("body: the line before a chunk, or the trailer, is longer than {} bytes",
                                     kChunkHeaderBytes));
      }
      return state_;
    }
    if (error == http::error::body_limit) {
      return Fail(
          413, fmt::format("body: it is larger than {} bytes, the most that is allowed", limits_.body_bytes));
    }
    if (error) return Fail(400, "body: its chunks are wrong: " + error.message());
  }
  return parser_->is_done() ? state_ = State::kComplete : state_;
}

HttpRequest RequestReader::Take() {
  THRONG_CHECK(state_ == State::kComplete);
  HttpRequest request = head_.request;
  request.body = std::move(parser_->get().body());
  parser_.reset();
  state_ = State::kHead;
  return request;
}

void RequestReader::Forget() {
  head_ = {};
  if (bytes_.empty()) bytes_ = std::string();
}

}  // namespace throng::serve
