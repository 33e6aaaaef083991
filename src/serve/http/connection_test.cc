// The server's connections over real sockets, with endpoints of the test's own.

#include "serve/http/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/testing/logged_text.h"
#include "serve/http/listener.h"
#include "serve/testing/raw_client.h"

namespace throng::serve {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

void SleepSeconds(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

// A source whose text the test gives, or that has always more.
struct Feed {
  std::mutex mutex;
  std::function<void()> wake;  // guarded by mutex, like the rest
  std::string text;
  bool end = false;
  bool endless = false;
  size_t taken = 0;
  bool cancelled = false;
  bool gone = false;

  void Give(const std::string& more, bool last) {
    const std::lock_guard lock(mutex);
    text += more;
    end = last;
    if (wake) wake();
  }
  template <typename Condition>
  bool Soon(const Condition& condition, double seconds = 5) {
    for (const auto begin = Clock::now(); SecondsSince(begin) < seconds; SleepSeconds(0.002)) {
      const std::lock_guard lock(mutex);
      if (condition()) return true;
    }
    return false;
  }
};

class FeedSource : public ReplySource {
 public:
  explicit FeedSource(std::shared_ptr<Feed> feed) : feed_(std::move(feed)) {}
  ~FeedSource() override {
    const std::lock_guard lock(feed_->mutex);
    feed_->wake = nullptr;
    feed_->gone = true;
  }
  void OnChange(std::function<void()> wake) override {
    const std::lock_guard lock(feed_->mutex);
    feed_->wake = std::move(wake);
  }
  State Take(HttpReply& reply) override {
    const std::lock_guard lock(feed_->mutex);
    if (feed_->endless) feed_->text = std::string(64 << 10, 'x');
    reply.body += std::exchange(feed_->text, {});
    feed_->taken += reply.body.size();
    return feed_->end ? State::kEnd : State::kWaiting;
  }
  void Cancel() override {
    const std::lock_guard lock(feed_->mutex);
    feed_->cancelled = true;
  }

 private:
  std::shared_ptr<Feed> feed_;
};

class ConnectionTest : public ::testing::Test {
 protected:
  ~ConnectionTest() override {
    if (!thread_.joinable()) return;
    boost::asio::post(io_, [this] { listener_->Drain(0); });
    thread_.join();
    listener_->CloseAll();
    workers_.join();
    slow_worker_.join();
  }

  void Start(HttpLimits limits = {}, AccessOptions access = {}) {
    limits_ = limits;
    const auto from_feed = [this](bool stream) {
      return [this, stream](const HttpRequest&) {
        HttpReply reply;
        reply.stream = stream;
        reply.source = std::make_shared<FeedSource>(feed_);
        return reply;
      };
    };
    const auto echo = [](const HttpRequest& request) {
      HttpReply reply;
      reply.body = request.body.empty() ? "hello" : request.body;
      return reply;
    };
    std::vector<Route> routes = {
        {.method = "GET", .path = "/quick", .endpoint = echo, .open = true, .quick = true},
        {.method = "POST", .path = "/echo", .endpoint = echo},
        {.method = "GET",
         .path = "/large",
         .endpoint =
             [](const HttpRequest&) {
               HttpReply reply;
               reply.body = std::string(16 << 20, 'x');
               return reply;
             }},
        {.method = "GET",
         .path = "/slow",
         .endpoint =
             [this](const HttpRequest& request) {
               if (!request.may_take_long) throw TakesLong();
               may_go_on_.wait();
               HttpReply reply;
               reply.body = "at last";
               return reply;
             }},
        {.method = "GET", .path = "/stream", .endpoint = from_feed(true)},
        {.method = "GET",
         .path = "/events",
         .endpoint =
             [this](const HttpRequest&) {
               HttpReply reply{.type = kEventStream};
               reply.stream = true;
               reply.source = std::make_shared<FeedSource>(feed_);
               return reply;
             }},
        {.method = "GET", .path = "/whole", .endpoint = from_feed(false)}};
    router_ = std::make_unique<Router>(std::move(routes), std::move(access), limits_);
    site_.reset(new Site{.limits = limits_,
                         .router = *router_,
                         .io = io_,
                         .workers = workers_,
                         .slow_worker = slow_worker_,
                         .log = nullptr,
                         .requests = metrics_.Counter("requests_total", ""),
                         .errors = metrics_.Counter("errors_total", ""),
                         .connections = metrics_.Gauge("connections", ""),
                         .on_close = {}});
    listener_ = std::make_unique<Listener>(*site_, addresses_);
    listener_->Start();
    thread_ = std::thread([this] { io_.run(); });
  }

  RawClient Connect() const { return RawClient(listener_->Port()); }

  std::string Ask(const std::string& bytes) const {
    RawClient client = Connect();
    client.Send(bytes);
    return client.ReadAll();
  }

  // That another client is served at once.
  void ExpectServes() const {
    const auto begin = Clock::now();
    EXPECT_THAT(Ask(kQuickAndClose), StartsWith("HTTP/1.1 200"));
    EXPECT_LT(SecondsSince(begin), 0.5);  // of a machine that has much else to do
  }

  static constexpr const char* kQuick = "GET /quick HTTP/1.1\r\nHost: localhost\r\n\r\n";
  static constexpr const char* kQuickAndClose =
      "GET /quick HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  static constexpr const char* kStream = "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
  static constexpr const char* kWhole = "GET /whole HTTP/1.1\r\nHost: localhost\r\n\r\n";

  std::promise<void> go_on_;  // to the endpoint that takes long
  std::shared_future<void> may_go_on_ = go_on_.get_future().share();
  std::shared_ptr<Feed> feed_ = std::make_shared<Feed>();
  HttpLimits limits_;
  engine::MetricsRegistry metrics_;
  std::unique_ptr<Router> router_;
  boost::asio::io_context io_{1};
  boost::asio::thread_pool workers_{2};
  boost::asio::thread_pool slow_worker_{1};
  std::vector<Listener::Tcp::endpoint> addresses_ = Listener::AddressesOf("127.0.0.1", 0);
  std::unique_ptr<Site> site_;
  std::unique_ptr<Listener> listener_;
  std::thread thread_;
};

TEST_F(ConnectionTest, AnswersOneAfterAnother) {
  Start();
  RawClient client = Connect();
  client.Send(std::string(kQuick) + "POST /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
  const std::string text = client.ReadAll();
  EXPECT_THAT(text, StartsWith("HTTP/1.1 200 OK\r\nDate: "));
  EXPECT_THAT(text, HasSubstr("Connection: keep-alive\r\n\r\nhelloHTTP/1.1 400 Bad Request"));

  RawClient second = Connect();
  second.Send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nX-Request-Id: mine\r\n\r\nabcHEAD "
      "/quick HTTP/1.1\r\nHost: localhost\r\n\r\n" +
      std::string(kQuickAndClose));
  const std::string all = second.ReadAll();
  EXPECT_THAT(all, HasSubstr("X-Request-Id: mine\r\n"));
  EXPECT_THAT(all, HasSubstr("\r\n\r\nabcHTTP/1.1 200 OK"));
  EXPECT_THAT(all, HasSubstr("Content-Length: 5\r\n"));
  EXPECT_THAT(all, HasSubstr("Connection: keep-alive\r\n\r\nHTTP/1.1 200 OK"));  // no body after a HEAD
  EXPECT_THAT(all, ::testing::EndsWith("Connection: close\r\n\r\nhello"));
}

// More of them than there are workers.
TEST_F(ConnectionTest, WhatTakesLongKeepsNobodyWaiting) {
  Start();
  const std::string slow = "GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  std::vector<RawClient> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(Connect());
    clients.back().Send(slow);
  }
  EXPECT_THAT(
      Ask("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"),
      ::testing::EndsWith("abc"));
  go_on_.set_value();
  for (RawClient& client : clients) EXPECT_THAT(client.ReadAll(), ::testing::EndsWith("at last"));
}

TEST_F(ConnectionTest, ListensOnAllAddressesOfAName) {
  // What localhost has where IPv6 is known, and an address that is none of this machine.
  for (const char* address : {"::1", "192.0.2.1"}) addresses_.push_back(Listener::AddressesOf(address, 0)[0]);
  const LoggedText log;
  Start();
  EXPECT_THAT(Ask(kQuickAndClose), StartsWith("HTTP/1.1 200"));
  const std::string text = log.Text();
  EXPECT_THAT(listener_->Addresses(), Contains(fmt::format("127.0.0.1:{}", listener_->Port())));
  EXPECT_THAT(text, HasSubstr("192.0.2.1:0 cannot be listened on: "));
  if (text.find("[::1]:0 cannot") != text.npos) GTEST_SKIP() << text;
  EXPECT_THAT(listener_->Addresses(), Contains(fmt::format("[::1]:{}", listener_->Port())));
  httplib::Client client("::1", listener_->Port());
  const auto reply = client.Get("/quick", {{"Host", "[::1]"}});
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
}

TEST_F(ConnectionTest, RefusesWhenItCanListenNowhere) {
  addresses_ = Listener::AddressesOf("192.0.2.1", 80);
  EXPECT_THROW(Start(), Error);
  addresses_ = Listener::AddressesOf("127.0.0.1", 0);
  Start();
}

TEST_F(ConnectionTest, SpeaksHttp10) {
  Start();
  EXPECT_THAT(Ask("GET /quick HTTP/1.0\r\n\r\n"), HasSubstr("Connection: close\r\n\r\nhello"));
  feed_->Give("abc", true);
  const std::string text = Ask("GET /stream HTTP/1.0\r\n\r\n");
  EXPECT_THAT(text, ::testing::EndsWith("\r\n\r\nabc"));
  EXPECT_THAT(text, Not(HasSubstr("chunked")));
}

TEST_F(ConnectionTest, IgnoresRanges) {
  Start();
  const std::string text =
      Ask("GET /quick HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(text, StartsWith("HTTP/1.1 200 OK"));
  EXPECT_THAT(text, ::testing::EndsWith("hello"));
}

TEST_F(ConnectionTest, AnswersClientsThatOnlyEndTheirSide) {
  Start();
  RawClient client = Connect();
  client.Send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc");
  client.EndSending();
  EXPECT_THAT(client.ReadAll(), ::testing::EndsWith("abc"));
}

TEST_F(ConnectionTest, InvitesTheBodyOnlyOfWhomItKnows) {
  Start({}, {.api_key = "k"});
  const std::string request =
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n";
  RawClient client = Connect();
  client.Send(request + "Authorization: Bearer k\r\n\r\n");
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("abc");
  EXPECT_THAT(client.ReadUntil("abc"), HasSubstr("\r\n\r\nabc"));
  const auto begin = Clock::now();
  RawClient stranger = Connect();
  stranger.Send(request + "\r\n");
  EXPECT_THAT(stranger.ReadUntil("}}"), StartsWith("HTTP/1.1 401 Unauthorized"));
  EXPECT_LT(SecondsSince(begin), 0.5);
}

TEST_F(ConnectionTest, SendsPiecesAsTheyCome) {
  Start();
  RawClient client = Connect();
  client.Send(kStream);
  ASSERT_TRUE(feed_->Soon([&] { return feed_->wake != nullptr; }));
  feed_->Give("one", false);
  const std::string head = client.ReadUntil("one\r\n");
  EXPECT_THAT(head, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(head, HasSubstr("X-Accel-Buffering: no\r\n"));  // nginx does not wait for more
  feed_->Give("two", true);
  EXPECT_EQ(client.ReadUntil("0\r\n\r\n"), "3\r\ntwo\r\n0\r\n\r\n");
  EXPECT_TRUE(feed_->Soon([&] { return feed_->gone; }, 0.01));  // whoever has the end finds the place free
  client.Send(kQuickAndClose);
  EXPECT_THAT(client.ReadAll(), HasSubstr("hello"));
}

// Proxies and clients give up on streams that say nothing for long; so does the server on clients that are
// gone.
TEST_F(ConnectionTest, ShowsThatAQuietStreamLives) {
  Start({.quiet_seconds = 0.1});
  RawClient client = Connect();
  client.Send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("\r\n:\n\n"), StartsWith("HTTP/1.1 200 OK"));
  EXPECT_THAT(client.ReadUntil(":\n\n\r\n"), HasSubstr("3\r\n:\n\n\r\n"));
  feed_->Give("data: a\n\n", true);
  EXPECT_THAT(client.ReadUntil("0\r\n\r\n"), HasSubstr("data: a\n\n"));
}

TEST_F(ConnectionTest, FreesWhatNobodyWaitsFor) {
  for (const char* request : {kStream, kWhole}) {
    SCOPED_TRACE(request);
    feed_ = std::make_shared<Feed>();
    if (!thread_.joinable()) Start();
    RawClient client = Connect();
    client.Send(request);
    ASSERT_TRUE(feed_->Soon([&] { return feed_->wake != nullptr; }));
    const auto begin = Clock::now();
    client.Close();
    EXPECT_TRUE(feed_->Soon([&] { return feed_->gone; }));
    EXPECT_LT(SecondsSince(begin), 0.2);
  }
}

TEST_F(ConnectionTest, CutsOffWhoDoesNotRead) {
  Start({.write_seconds = 0.2, .slowest_bytes_per_second = 1e9});
  feed_->endless = true;
  RawClient client = Connect();
  client.Send(kStream);
  ASSERT_TRUE(feed_->Soon([&] { return feed_->taken > 0; }));
  ExpectServes();
  EXPECT_TRUE(feed_->Soon([&] { return feed_->gone; }));
  EXPECT_LT(feed_->taken, 64u << 20);  // what the sockets hold: nothing grows in here

  RawClient other = Connect();
  other.Send("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
  ExpectServes();
}

TEST_F(ConnectionTest, BoundsWhatIsAskedInAdvance) {
  Start();
  RawClient client = Connect();
  client.Send(kStream);
  ASSERT_TRUE(feed_->Soon([&] { return feed_->wake != nullptr; }));
  const std::string more(1 << 20, 'x');
  size_t sent = 0;
  for (int quiet = 0; quiet < 20; ++quiet) {
    const size_t size = client.TrySend(more);
    sent += size;
    if (size > 0) quiet = 0;
    ASSERT_LT(sent, 64u << 20);
    SleepSeconds(0.002);
  }
  feed_->Give("done", true);
  EXPECT_THAT(client.ReadAll(), HasSubstr("HTTP/1.1 431"));  // the x are no request
}

TEST_F(ConnectionTest, BoundsTheTimeOfAHeaderAsAWhole) {
  Start({.header_seconds = 0.2});
  const auto begin = Clock::now();
  RawClient silent = Connect();
  RawClient slow = Connect();
  slow.Send("GET /quick HTTP/1.1\r\nX: ");
  bool closed = false;
  for (int i = 0; i < 100 && !closed; ++i) {
    slow.Send("a");
    const std::string text = slow.ReadAll(0.01, &closed);
    if (!text.empty()) {
      EXPECT_THAT(text, StartsWith("HTTP/1.1 408"));
      break;
    }
  }
  EXPECT_LT(SecondsSince(begin), 0.6);
  EXPECT_EQ(silent.ReadAll(1, &closed), "");
  EXPECT_TRUE(closed);
}

TEST_F(ConnectionTest, BoundsTheTimeOfABody) {
  Start({.body_seconds = 0.1});
  EXPECT_THAT(Ask("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nab"),
              StartsWith("HTTP/1.1 408"));
}

TEST_F(ConnectionTest, ClosesIdleConnections) {
  Start({.idle_seconds = 0.1});
  RawClient client = Connect();
  client.Send(kQuick);
  bool closed = false;
  EXPECT_THAT(client.ReadAll(2, &closed), HasSubstr("hello"));
  EXPECT_TRUE(closed);
}

TEST_F(ConnectionTest, BoundsWhatAllBodiesHold) {
  Start({.buffered_bytes = 1000});
  EXPECT_THAT(
      Ask("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n" + std::string(5000, 'x')),
      StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(Ask("GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 503"));
  ExpectServes();  // and it is given back
}

TEST_F(ConnectionTest, MakesRoomByClosingWhoWaitsLongest) {
  Start({.connections = 3});
  RawClient first = Connect();
  SleepSeconds(0.01);
  RawClient second = Connect();
  SleepSeconds(0.01);
  RawClient busy = Connect();
  busy.Send(kStream);
  ASSERT_TRUE(feed_->Soon([&] { return feed_->wake != nullptr; }));
  ExpectServes();
  bool closed = false;
  first.ReadAll(1, &closed);
  EXPECT_TRUE(closed);
  second.Send(kQuickAndClose);
  EXPECT_THAT(second.ReadAll(), HasSubstr("hello"));
  feed_->Give("x", true);
  EXPECT_THAT(busy.ReadUntil("0\r\n\r\n"), HasSubstr("x"));
}

TEST_F(ConnectionTest, BoundsTheConnectionsOfOneAddress) {
  Start({.connections_per_address = 2});
  RawClient first = Connect();
  {
    RawClient second = Connect();
    EXPECT_THAT(Connect().ReadAll(), StartsWith("HTTP/1.1 503"));
    second.Send(kQuickAndClose);
    EXPECT_THAT(second.ReadAll(), HasSubstr("hello"));
  }
  ExpectServes();
}

TEST_F(ConnectionTest, ServesBesideThoseThatSayNothingAndThoseThatDrip) {
  Start();
  std::vector<RawClient> idle;
  for (int i = 0; i < 150; ++i) idle.push_back(Connect());
  std::vector<RawClient> dripping;
  for (int i = 0; i < 50; ++i) dripping.push_back(Connect());
  for (RawClient& client : dripping) client.Send("GET /quick HTTP/1.1\r\nX: ");
  for (int i = 0; i < 5; ++i) {
    for (RawClient& client : dripping) client.Send("a");
    ExpectServes();
  }
}

}  // namespace
}  // namespace throng::serve
