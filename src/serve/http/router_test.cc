#include "serve/http/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace throng::serve {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

HttpReply Echo(const HttpRequest& request) {
  HttpReply reply;
  for (const auto& [name, value] : request.params) reply.body += name + "=" + value + ";";
  return reply;
}

std::vector<Route> Routes() {
  return {{.method = "GET", .path = "/", .endpoint = Echo, .open = true},
          {.method = "GET", .path = "/v1/models", .endpoint = Echo},
          {.method = "GET", .path = "/v1/models/{id...}", .endpoint = Echo},
          {.method = "DELETE", .path = "/v1/models/{id...}", .endpoint = Echo},
          {.method = "GET", .path = "/v1/runs/{run}", .endpoint = Echo},
          {.method = "POST", .path = "/v1/runs/{run}/cancel", .endpoint = Echo}};
}

class RouterTest : public ::testing::Test {
 protected:
  // The status of the reply, and its body; with the headers sent.
  std::pair<int, std::string> Ask(const std::string& method, const std::string& path,
                                  std::map<std::string, std::string> headers = {},
                                  AccessOptions access = {}) {
    const Router router(Routes(), std::move(access), limits_);
    RequestHead head;
    head.request.method = method;
    head.request.path = path;
    headers.emplace("host", "localhost:8080");
    head.request.headers = std::move(headers);
    head.has_body = content_length_ > 0;
    head.content_length = content_length_;
    Router::Decision decision = router.Decide(head);
    reply_ = decision.reply ? *std::move(decision.reply) : Router::Call(*decision.route, head.request);
    router.Finish(head, reply_);
    return {reply_.status, reply_.body};
  }

  std::string Header(const std::string& name) const {
    for (const auto& [key, value] : reply_.headers) {
      if (key == name) return value;
    }
    return "";
  }

  HttpLimits limits_;
  uint64_t content_length_ = 0;
  HttpReply reply_;
};

TEST_F(RouterTest, FindsTheEndpoint) {
  EXPECT_THAT(Ask("GET", "/v1/models"), Pair(200, ""));
  EXPECT_THAT(Ask("GET", "/v1/models/a"), Pair(200, "id=a;"));
  EXPECT_THAT(Ask("GET", "/v1/models/org/a"), Pair(200, "id=org/a;"));
  EXPECT_THAT(Ask("POST", "/v1/runs/7/cancel"), Pair(200, "run=7;"));
  EXPECT_THAT(Ask("GET", "/v1/runs/7"), Pair(200, "run=7;"));
  EXPECT_EQ(Ask("HEAD", "/v1/models").first, 200);
  for (const char* path : {"/v1/models/", "/v1//models", "/v1/model", "/v1/runs//cancel",
                           "/v1/runs/7/cancel/", "/v1/runs/7/events", "//", "", "*"}) {
    EXPECT_THAT(Ask("GET", path), Pair(404, HasSubstr("no such endpoint"))) << path;
  }
}

TEST_F(RouterTest, NamesTheMethodsThatAreAllowed) {
  EXPECT_EQ(Ask("POST", "/v1/models/a").first, 405);
  EXPECT_EQ(Header("Allow"), "GET, HEAD, DELETE");
  EXPECT_EQ(Ask("BREW", "/").first, 405);
  EXPECT_EQ(Ask("OPTIONS", "/v1/models").first, 204);
  EXPECT_EQ(Header("Allow"), "GET, HEAD");
  EXPECT_EQ(Ask("OPTIONS", "*").first, 204);  // of the server as a whole
  EXPECT_EQ(Header("Allow"), "DELETE, GET, HEAD, POST");
  EXPECT_EQ(Ask("OPTIONS", "*", {}, {.api_key = "k"}).first, 401);
}

// Clients whose base URL lacks "/v1", or has it twice.
TEST_F(RouterTest, NamesTheEndpointThatWasMeant) {
  EXPECT_THAT(Ask("POST", "/runs/7/cancel"), Pair(404, HasSubstr("did you mean /v1/runs/7/cancel?")));
  EXPECT_THAT(Ask("GET", "/v1/v1/models"), Pair(404, HasSubstr("did you mean /v1/models?")));
  EXPECT_THAT(Ask("POST", "/models"), Pair(404, Not(HasSubstr("mean"))));
}

TEST_F(RouterTest, RefusesBodiesBeforeTheyAreRead) {
  content_length_ = limits_.body_bytes + 1;
  EXPECT_EQ(Ask("POST", "/v1/runs/7/cancel").first, 413);
  EXPECT_EQ(Ask("POST", "/v1/runs/7/cancel", {}, {.api_key = "k"}).first, 401);
  content_length_ = 1;
  EXPECT_THAT(Ask("POST", "/v1/runs/7/cancel", {{"content-encoding", "gzip"}}), Pair(415, HasSubstr("gzip")));
}

TEST_F(RouterTest, MakesErrorsOfExceptions) {
  const auto call = [](auto error) {
    return Router::Call(
        {.method = "GET", .path = "/", .endpoint = [&](const HttpRequest&) -> HttpReply { throw error; }},
        {});
  };
  EXPECT_EQ(call(MakeError(ErrorCode::kInvalid, "x")).status, 400);
  EXPECT_EQ(call(std::bad_alloc()).status, 503);
  EXPECT_EQ(call(std::runtime_error("x")).status, 500);
}

TEST_F(RouterTest, WantsTheKeyWithWhateverCaseAndBlanks) {
  const AccessOptions key = {.api_key = "sesame"};
  for (const char* right : {"Bearer sesame", "bearer sesame", "BEARER   sesame", "Bearer sesame "}) {
    EXPECT_EQ(Ask("GET", "/v1/models", {{"authorization", right}}, key).first, 200) << right;
  }
  for (const char* wrong : {"", "sesame", "Bearer", "Bearer sesam", "Bearer sesamee", "Basic sesame",
                            "Bearersesame", "Bearer Sesame"}) {
    EXPECT_EQ(Ask("GET", "/v1/models", {{"authorization", wrong}}, key).first, 401) << wrong;
    EXPECT_EQ(Header("WWW-Authenticate"), "Bearer");
  }
  EXPECT_EQ(Ask("GET", "/", {}, key).first, 200);
  EXPECT_EQ(Ask("PUT", "/v1/models", {}, key).first, 401);
}

TEST_F(RouterTest, WithoutAKeyKnowsItsHosts) {
  for (const char* own : {"localhost", "LOCALHOST:1", "a.localhost:80", "127.0.0.1:8080", "192.168.0.7",
                          "[::1]:8080", "[fe80::1]"}) {
    EXPECT_EQ(Ask("GET", "/v1/models", {{"host", own}}).first, 200) << own;
  }
  for (const char* other :
       {"other.example", "other.example:8080", "localhost.example", "127.0.0.1.example"}) {
    EXPECT_THAT(Ask("GET", "/v1/models", {{"host", other}}), Pair(403, HasSubstr("--allow-host"))) << other;
    EXPECT_EQ(Ask("GET", "/", {{"host", other}}).first, 403);
  }
  EXPECT_EQ(Ask("GET", "/v1/models", {{"host", "Box.example:80"}}, {.hosts = {"box.Example"}}).first, 200);
  EXPECT_EQ(
      Ask("GET", "/v1/models", {{"host", "other.example"}, {"authorization", "Bearer k"}}, {.api_key = "k"})
          .first,
      200);
}

TEST_F(RouterTest, RefusesPagesOfOtherOrigins) {
  EXPECT_EQ(Ask("GET", "/v1/models", {{"origin", "http://localhost:8080"}}).first, 200);  // its own
  for (const char* origin : {"https://other.example", "http://localhost:3000", "null", "garbage"}) {
    EXPECT_THAT(Ask("GET", "/v1/models", {{"origin", origin}}), Pair(403, HasSubstr("--cors"))) << origin;
    EXPECT_EQ(
        Ask("GET", "/v1/models", {{"origin", origin}, {"authorization", "Bearer k"}}, {.api_key = "k"}).first,
        403);
    EXPECT_EQ(Header("Access-Control-Allow-Origin"), "");
  }
  const AccessOptions page = {.origins = {"http://localhost:3000"}};
  EXPECT_EQ(Ask("GET", "/v1/models", {{"origin", "http://localhost:3000"}}, page).first, 200);
  EXPECT_EQ(Header("Access-Control-Allow-Origin"), "http://localhost:3000");
  EXPECT_EQ(Header("Vary"), "Origin");
  EXPECT_EQ(Ask("GET", "/v1/models", {{"origin", "http://localhost:3001"}}, page).first, 403);
  EXPECT_EQ(Ask("GET", "/v1/models", {{"origin", "null"}}, {.origins = {"*"}}).first, 200);
  EXPECT_EQ(Header("Access-Control-Allow-Origin"), "*");
}

TEST_F(RouterTest, AnswersPreflightsWithoutAKey) {
  const std::map<std::string, std::string> question = {
      {"origin", "http://localhost:3000"},
      {"access-control-request-method", "POST"},
      {"access-control-request-headers", "authorization,content-type"}};
  EXPECT_EQ(Ask("OPTIONS", "/v1/runs/7/cancel", question).first, 403);
  const AccessOptions access = {.api_key = "k", .origins = {"http://localhost:3000"}};
  EXPECT_EQ(Ask("OPTIONS", "/v1/runs/7/cancel", question, access).first, 204);
  EXPECT_EQ(Header("Access-Control-Allow-Origin"), "http://localhost:3000");
  EXPECT_EQ(Header("Access-Control-Allow-Methods"), "POST");
  EXPECT_EQ(Header("Access-Control-Allow-Headers"), "authorization,content-type");
  // The page may read that its key is wrong.
  EXPECT_EQ(Ask("POST", "/v1/runs/7/cancel", {{"origin", "http://localhost:3000"}}, access).first, 401);
  EXPECT_EQ(Header("Access-Control-Allow-Origin"), "http://localhost:3000");
}

TEST(AccessTest, RefusesWhatIsNoHostOrOrigin) {
  for (const char* origin : {"", "localhost", "http://", "http://a/b", "http://a b"}) {
    EXPECT_THROW(Access({.origins = {origin}}), Error) << origin;
  }
  for (const char* host : {"", "a b", "a:80", "http://a", "*"}) {
    EXPECT_THROW(Access({.hosts = {host}}), Error) << host;
  }
}

}  // namespace
}  // namespace throng::serve
