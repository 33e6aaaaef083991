#include "serve/http/request_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace throng::serve {
namespace {

using ::testing::HasSubstr;
using State = RequestReader::State;

constexpr const char* kHost = "Host: localhost\r\n";

// The state after `bytes`, fed in pieces of `step`, with every request accepted.
State Feed(RequestReader& reader, std::string_view bytes, size_t step) {
  State state = State::kHead;
  while (!bytes.empty()) {
    const size_t size = std::min({step, bytes.size(), std::max<size_t>(reader.Room(), 1)});
    reader.Append(bytes.substr(0, size));
    bytes.remove_prefix(size);
    state = reader.Advance();
    if (state == State::kDecide) {
      reader.Accept();
      state = reader.Advance();
    }
    if (state == State::kWrong || state == State::kComplete) break;
  }
  return state;
}

HttpRequest Read(const std::string& bytes, size_t step = 1 << 20) {
  const HttpLimits limits;
  RequestReader reader(limits);
  EXPECT_EQ(Feed(reader, bytes, step), State::kComplete) << bytes << reader.Problem().body;
  if (reader.Advance() != State::kComplete) return {};
  return reader.Take();
}

// The status and message of what is wrong.
std::pair<int, std::string> Problem(const std::string& bytes, const HttpLimits& limits = {}) {
  RequestReader reader(limits);
  if (Feed(reader, bytes, 1 << 20) != State::kWrong) return {0, bytes};
  return {reader.Problem().status, reader.Problem().body};
}

std::string Get(const std::string& fields, const std::string& target = "/") {
  return "GET " + target + " HTTP/1.1\r\n" + kHost + fields + "\r\n";
}

std::string Post(const std::string& fields, const std::string& rest) {
  return std::string("POST /x HTTP/1.1\r\n") + kHost + fields + "\r\n" + rest;
}

TEST(RequestReaderTest, ReadsWhateverTheBytesComeIn) {
  const std::string bytes =
      "POST /a%20b?c=d+e&f=%26&c=2&g HTTP/1.1\r\nHost: localhost:80\r\nX-One: 1\r\nx-one: 2\r\n"
      "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nLate: "
      "1\r\n\r\n";
  for (size_t step = 1; step <= bytes.size(); ++step) {
    const HttpRequest request = Read(bytes, step);
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.path, "/a b");
    EXPECT_EQ(request.query, (std::map<std::string, std::string>{{"c", "d e"}, {"f", "&"}, {"g", ""}}));
    EXPECT_EQ(request.headers.at("x-one"), "1, 2");
    EXPECT_FALSE(request.headers.contains("late"));  // a trailer comes after everything was decided
    EXPECT_EQ(request.body, "abcde");
  }
}

TEST(RequestReaderTest, ReadsOneAfterAnother) {
  const HttpLimits limits;
  RequestReader reader(limits);
  reader.Append("\r\n" + Post("Content-Length: 2\r\n", "ab") + Get("") + "GET");
  for (const char* body : {"ab", ""}) {
    ASSERT_EQ(reader.Advance(), State::kDecide);
    reader.Accept();
    ASSERT_EQ(reader.Advance(), State::kComplete);
    EXPECT_EQ(reader.Take().body, body);
  }
  EXPECT_EQ(reader.Advance(), State::kHead);
  EXPECT_FALSE(reader.IsIdle());
}

TEST(RequestReaderTest, KnowsTheFormsOfTargets) {
  EXPECT_EQ(Read(Get("", "http://other:81/x?y=1")).headers.at("host"), "other:81");
  EXPECT_EQ(Read(Get("", "http://other?y=1")).path, "/");
  EXPECT_EQ(Read("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path, "*");
  EXPECT_EQ(Read("GET / HTTP/1.0\r\n\r\n").path, "/");
  for (const char* target :
       {"x", "ftp://a/", "http:///x", "/%", "/%2", "/%zz", "/%00", "/?a=%0a", "/#x", "a:80"}) {
    EXPECT_EQ(Problem(Get("", target)).first, 400) << target;
  }
}

// Two readers of these bytes could see different requests.
TEST(RequestReaderTest, RefusesWhatCanBeReadInTwoWays) {
  const std::string chunks = "1\r\na\r\n0\r\n\r\n";
  for (const std::string& bytes : {
           Post("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", chunks),
           Post("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", chunks),
           Post("Content-Length: 1\r\nContent-Length: 1\r\n", "a"),
           Post("Content-Length: 1\r\nContent-Length: 2\r\n", "ab"),
           Post("Content-Length: 1, 1\r\n", "a"),
           Post("Content-Length: +1\r\n", "a"),
           Post("Content-Length: 0x1\r\n", "a"),
           Post("Content-Length: -1\r\n", "a"),
           Post("Content-Length: 99999999999999999999999\r\n", "a"),
           Post("Content-Length:\r\n", "a"),
           Post("Content-Length : 1\r\n", "a"),
           Post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunks),
           Post("Transfer-Encoding: chunked\r\n", "1\na\n0\n\n" + chunks),
           Post("Transfer-Encoding: chunked\r\n", "0x1\r\na\r\n0\r\n\r\n"),
           Post("Transfer-Encoding: chunked\r\n", "-1\r\na\r\n0\r\n\r\n"),
           Post("Transfer-Encoding: chunked\r\n", "1\r\nab\r\n0\r\n\r\n"),
           Get("Host: other\r\n"),
           Get("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"),
           Get("X: a\rb\r\n"),
           Get(std::string("X: a\0b\r\n", 8)),
           Get(" X: a\r\n"),
           std::string("GET / HTTP/1.1\r\n\r\n"),
           std::string("GET / HTTP/1.1\r\nHost: \r\n\r\n"),
           std::string("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
           std::string("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
           std::string("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks),
           std::string("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
           std::string("\x16\x03\x01\x02\r\n\r\n"),
       }) {
    EXPECT_EQ(Problem(bytes).first, 400) << bytes;
  }
  for (const char* coding :
       {"gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "xchunked", "identity"}) {
    EXPECT_EQ(Problem(Post(std::string("Transfer-Encoding: ") + coding + "\r\n", chunks)).first, 501)
        << coding;
  }
  for (const char* version : {"HTTP/2.0", "HTTP/1.2", "HTTP/1.1 ", "http/1.1", "HTTP/11"}) {
    EXPECT_EQ(Problem(std::string("GET / ") + version + "\r\nHost: a\r\n\r\n").first, 505) << version;
  }
  EXPECT_EQ(Problem(Post("Expect: a miracle\r\nContent-Length: 1\r\n", "a")).first, 417);
}

// Who sends them waits for an answer.
TEST(RequestReaderTest, RefusesAtOnceWhatNeverBecomesARequest) {
  EXPECT_THAT(Problem("\x16\x03\x01\x02"), ::testing::Pair(400, HasSubstr("TLS")));
  EXPECT_EQ(Problem("\xff").first, 400);
  EXPECT_EQ(Problem(std::string(1, '\0')).first, 400);
  EXPECT_EQ(Problem("\r\n\x16").first, 400);
  EXPECT_THAT(Problem("GET / HTTP/1.1\n"), ::testing::Pair(400, HasSubstr("CR before LF")));
  EXPECT_EQ(Problem("GET / HTTP/1.1\r\nHost: a\n").first, 400);
  EXPECT_EQ(Problem("GET / HTTP/1.1\r\nHost: a\r").first, 0);
}

TEST(RequestReaderTest, KeepsToTheLimits) {
  HttpLimits limits;
  limits.header_bytes = 200;
  limits.header_fields = 3;
  limits.body_bytes = 10;
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  EXPECT_EQ(Problem(Get("X: " + std::string(200, 'x') + "\r\n"), limits).first, 431);
  EXPECT_EQ(Problem("GET /" + std::string(300, 'x'), limits).first, 431);
  EXPECT_EQ(Problem(Get("A: 1\r\nB: 1\r\nC: 1\r\n"), limits).first, 431);
  EXPECT_THAT(Problem(Post(chunked, "b\r\n12345678901\r\n0\r\n\r\n"), limits),
              ::testing::Pair(413, HasSubstr("10 bytes")));
  EXPECT_EQ(Problem(Post(chunked, "6\r\n123456\r\n6\r\n"), limits).first, 413);
  EXPECT_EQ(Problem(Post(chunked, "1;" + std::string(9000, 'x')), limits).first, 400);
  EXPECT_EQ(Problem(Post(chunked, "1\r\na\r\n0\r\nX: " + std::string(9000, 'x')), limits).first, 400);
  // A header in many pieces is as long as it is in one: Beast's own limit would begin anew with each field.
  RequestReader reader(limits);
  EXPECT_EQ(Feed(reader, Get("").substr(0, 30) + std::string(400, '\n'), 1), State::kWrong);
  EXPECT_EQ(reader.Room(), 0u);
}

TEST(RequestReaderTest, SaysWhetherTheClientWaitsForItsBody) {
  const HttpLimits limits;
  RequestReader reader(limits);
  reader.Append(Post("Expect: 100-Continue\r\nContent-Length: 1\r\n", ""));
  ASSERT_EQ(reader.Advance(), State::kDecide);
  EXPECT_TRUE(reader.Head().expects_continue);
  RequestReader impatient(limits);
  impatient.Append(Post("Expect: 100-continue\r\nContent-Length: 1\r\n", "a"));
  ASSERT_EQ(impatient.Advance(), State::kDecide);
  EXPECT_FALSE(impatient.Head().expects_continue);
}

}  // namespace
}  // namespace throng::serve
