#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "serve/testing/raw_client.h"
#include "serve/testing/server_rig.h"

namespace throng::serve {
namespace {

using ::testing::HasSubstr;

TEST_F(ServerTest, TakesNoMoreThanItMay) {
  Start({.max_requests = 1});
  slow_ = true;
  std::thread first([&] { EXPECT_EQ(Post(kChat, ChatBody()).first, 200); });
  while (InFlight() == 0) std::this_thread::yield();
  const auto [status, json] = Post(kChat, ChatBody());
  slow_ = false;
  first.join();
  EXPECT_EQ(status, 503);
  EXPECT_EQ(json["error"]["type"], "server_error");
  EXPECT_EQ(Post(kChat, ChatBody()).first, 200);
}

TEST_F(ServerTest, CancelsWhatNobodyWaitsFor) {
  Start();
  Json body = {{"prompt", "x"}, {"max_tokens", 1}, {"response_format", Letters("^[a-z]{3000}$")}};
  ASSERT_EQ(Post(kText, body).first,
            200);  // compiles the constraint, which may take longer than the timeout below
  body["max_tokens"] = 2000;
  slow_ = true;
  for (const bool stream : {true, false}) {
    body["stream"] = stream;
    httplib::Client client("127.0.0.1", server_->Port());
    client.set_read_timeout(1);
    httplib::Request request;
    request.method = "POST";
    request.path = kText;
    request.body = body.dump();
    request.content_receiver = [](const char*, size_t, uint64_t, uint64_t) { return false; };
    const auto reply = client.send(request);
    EXPECT_FALSE(reply);  // the client gave up
    client.stop();
    ExpectSoonIdle();
  }
}

TEST_F(ServerTest, ServesManyAtOnce) {
  Start();
  const Json expected = Post(kChat, ChatBody("3")).second["choices"];
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&, i] {
      for (int j = 0; j < 4; ++j) {
        if ((i + j) % 2 == 0) {
          EXPECT_EQ(Post(kChat, ChatBody("3")).second["choices"], expected);
        } else {
          EXPECT_EQ(PostStream(kChat, ChatBody(std::to_string(i))).back(), "[DONE]");
        }
        EXPECT_EQ(Get("/metrics").first, 200);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  ExpectSoonIdle();
}

TEST_F(ServerTest, StopCancelsWhatIsStillInWork) {
  Start({.stop_seconds = 0.05});
  slow_ = true;
  std::vector<std::string> events;
  std::thread client([&] {
    events = PostStream(
        kText, {{"prompt", "x"}, {"max_tokens", 2000}, {"response_format", Letters("^[a-z]{3000}$")}});
  });
  while (InFlight() == 0) std::this_thread::yield();
  server_->Stop();
  thread_.join();
  client.join();
  ASSERT_FALSE(events.empty());
  EXPECT_THAT(events.back(), HasSubstr("the server stops"));
}

TEST_F(ServerTest, SaysWhetherItTakesRequests) {
  Start({.max_requests = 1});
  EXPECT_EQ(Get("/ready").first, 200);
  slow_ = true;
  std::thread client([&] { EXPECT_EQ(Post(kChat, ChatBody()).first, 200); });
  while (InFlight() == 0) std::this_thread::yield();
  auto asker = MakeClient();
  const auto reply = asker.Get("/ready");
  slow_ = false;
  client.join();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 503);
  EXPECT_EQ(reply->get_header_value("Retry-After"), "1");
}

TEST_F(ServerTest, FreesARequestWithin200MsOfItsClientGoing) {
  Start();
  slow_ = true;
  for (const bool stream : {false, true}) {
    const std::string body =
        Json{{"prompt", "x"}, {"max_tokens", 2000}, {"stream", stream}, {"seed", 1}}.dump();
    RawClient client(server_->Port());
    client.Send(fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}", kText,
                            body.size(), body));
    while (InFlight() == 0) std::this_thread::yield();
    const auto begin = std::chrono::steady_clock::now();
    client.Close();
    while (InFlight() > 0) std::this_thread::yield();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(200));
  }
}

TEST_F(ServerTest, FinishesWhatIsInWorkWhenItIsStopped) {
  Start();
  slow_ = true;
  std::thread client([&] { EXPECT_EQ(Post(kChat, ChatBody()).first, 200); });
  while (InFlight() == 0) std::this_thread::yield();
  RawClient idle(server_->Port());
  server_->Stop();
  EXPECT_EQ(idle.ReadAll(), "");
  client.join();
  thread_.join();
}

}  // namespace
}  // namespace throng::serve
