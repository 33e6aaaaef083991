#include "serve/http/listener.h"

#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/log.h"
#include "serve/http/error_reply.h"
#include "serve/http/reply_head.h"

namespace throng::serve {
namespace {

namespace asio = boost::asio;
using ErrorOfSystem = boost::system::error_code;

constexpr std::chrono::milliseconds kCheckTime(100);
// Time to send the replies of requests cancelled because the server stops.
constexpr std::chrono::seconds kLastWords(2);
// Files that the rest of the program may have open.
constexpr size_t kOtherFiles = 128;

// Lets the process open as many files as `wanted` connections need, if the system agrees; returns how many
// connections it can have.
size_t RaiseFileLimit(size_t wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  const rlim_t needed = wanted + kOtherFiles;
  if (limit.rlim_cur < needed) {
    limit.rlim_cur = std::min(needed, limit.rlim_max);
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
  }
  if (limit.rlim_cur >= needed) return wanted;
  const size_t possible = limit.rlim_cur - std::min<rlim_t>(limit.rlim_cur / 2, kOtherFiles);
  spdlog::warn("server: at most {} connections, as the system's limit of open files is {}", possible,
               static_cast<size_t>(limit.rlim_cur));
  return possible;
}

// What counts as one client: an IPv4 address, or the half of an IPv6 address that names the network.
std::string NetworkOf(const asio::ip::address& address) {
  if (address.is_v4()) return address.to_string();
  const auto v6 = address.to_v6();
  if (v6.is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, v6).to_string();
  const auto bytes = v6.to_bytes();
  return {bytes.begin(), bytes.begin() + 8};
}

std::string TextOf(const asio::ip::tcp::endpoint& endpoint) {
  std::ostringstream text;
  text << endpoint;
  return text.str();
}

// Says why there is no connection, if that can be said at once.
void TurnAway(asio::ip::tcp::socket socket, std::string_view why) {
  const HttpReply reply = ErrorReply(503, why);
  const std::string bytes =
      ReplyHeadBytes(reply, {.keep_alive = false, .content_length = reply.body.size()}) + reply.body;
  ErrorOfSystem ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(bytes), ignored);
}

}  // namespace

std::vector<Listener::Tcp::endpoint> Listener::AddressesOf(const std::string& host, int port) {
  asio::io_context io;
  Tcp::resolver resolver(io);
  ErrorOfSystem error;
  const auto found = resolver.resolve(host, std::to_string(port), Tcp::resolver::passive, error);
  if (error || found.empty()) {
    throw MakeError(ErrorCode::kIo, "server: {} is no address of this machine: {}", host, error.message());
  }
  std::set<Tcp::endpoint> addresses;  // in their order, in which IPv4 comes first
  for (const auto& entry : found) addresses.insert(entry.endpoint());
  return {addresses.begin(), addresses.end()};
}

Listener::Listener(Site& site, const std::vector<Tcp::endpoint>& addresses)
    : site_(site), check_timer_(site.io) {
  site.on_close = [this](Connection& connection) { Forget(connection); };
  std::vector<std::string> failures;
  for (const Tcp::endpoint& address : addresses) {
    try {
      Listen(address, addresses.size() == 1);
    } catch (const boost::system::system_error& error) {
      failures.push_back(
          fmt::format("{} cannot be listened on: {}", TextOf(address), error.code().message()));
    }
  }
  if (doors_.empty()) throw MakeError(ErrorCode::kIo, "server: {}", fmt::join(failures, "; "));
  for (const std::string& failure : failures) spdlog::warn("server: {}", failure);
  most_ = RaiseFileLimit(static_cast<size_t>(site.limits.connections));
}

void Listener::Listen(Tcp::endpoint address, bool is_only_one) {
  if (address.port() == 0) address.port(static_cast<unsigned short>(port_));
  Tcp::acceptor acceptor(site_.io);
  acceptor.open(address.protocol());
  acceptor.set_option(Tcp::acceptor::reuse_address(true));
  // "::" alone is all of this machine, as 0.0.0.0 is.
  if (address.address().is_v6()) acceptor.set_option(asio::ip::v6_only(!is_only_one));
  acceptor.bind(address);
  acceptor.listen(asio::socket_base::max_listen_connections);
  port_ = acceptor.local_endpoint().port();
  doors_.push_back({std::move(acceptor), boost::asio::steady_timer(site_.io)});
}

Listener::~Listener() { CloseAll(); }

std::vector<std::string> Listener::Addresses() const {
  std::vector<std::string> addresses;
  for (const Door& door : doors_) addresses.push_back(TextOf(door.acceptor.local_endpoint()));
  return addresses;
}

void Listener::Start() {
  for (Door& door : doors_) Accept(door);
  WaitToCheck();
}

void Listener::Accept(Door& door) {
  door.acceptor.async_accept([this, &door](ErrorOfSystem error, Tcp::socket socket) {
    if (error == asio::error::operation_aborted || !door.acceptor.is_open()) return;
    if (!error) {
      ErrorOfSystem gone;
      const Tcp::endpoint client = socket.remote_endpoint(gone);
      if (!gone) Admit(std::move(socket), client);
      return Accept(door);
    }
    // No files are left, perhaps: some connection will end.
    door.retry_timer.expires_after(kCheckTime);
    door.retry_timer.async_wait([this, &door](ErrorOfSystem stopped) {
      if (!stopped && door.acceptor.is_open()) Accept(door);
    });
  });
}

void Listener::Admit(Tcp::socket socket, const Tcp::endpoint& client) {
  std::string network = NetworkOf(client.address());
  const auto counted = per_network_.find(network);
  if (counted != per_network_.end() && counted->second >= site_.limits.connections_per_address) {
    return TurnAway(std::move(socket), "server: too many connections of this address");
  }
  if (entries_.size() >= most_) CloseLongestWaiting();
  if (entries_.size() >= most_) return TurnAway(std::move(socket), "server: too many connections");
  auto connection = std::make_shared<Connection>(site_, std::move(socket), client.address().to_string());
  ++per_network_[network];
  entries_.emplace(connection.get(), Entry{connection, std::move(network)});
  site_.connections.Set(static_cast<double>(entries_.size()));
  connection->Start();
}

void Listener::CloseLongestWaiting() {
  std::shared_ptr<Connection> longest;
  Clock::time_point since = Clock::time_point::max();
  for (const auto& [key, entry] : entries_) {
    const auto waiting = entry.connection->WaitingSince();
    if (!waiting || *waiting >= since) continue;
    since = *waiting;
    longest = entry.connection;
  }
  if (longest) longest->Close();
}

void Listener::Forget(Connection& connection) {
  const auto found = entries_.find(&connection);
  if (found == entries_.end()) return;
  const auto counted = per_network_.find(found->second.network);
  if (--counted->second == 0) per_network_.erase(counted);
  entries_.erase(found);
  site_.connections.Set(static_cast<double>(entries_.size()));
  if (site_.draining && entries_.empty()) site_.io.stop();
}

std::vector<std::shared_ptr<Connection>> Listener::Connections() const {
  std::vector<std::shared_ptr<Connection>> connections;
  connections.reserve(entries_.size());
  for (const auto& [key, entry] : entries_) connections.push_back(entry.connection);
  return connections;
}

void Listener::WaitToCheck() {
  check_timer_.expires_after(kCheckTime);
  check_timer_.async_wait([this](ErrorOfSystem stopped) {
    if (stopped) return;
    Check();
    WaitToCheck();
  });
}

void Listener::Check() {
  const Clock::time_point now = Clock::now();
  for (const auto& connection : Connections()) {
    connection->CheckTime(now);
    if (now >= cancel_at_) connection->CancelReply();
  }
  if (site_.draining && now - kLastWords >= cancel_at_) CloseAll();
}

void Listener::Drain(double seconds) {
  site_.draining = true;
  cancel_at_ =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  ErrorOfSystem ignored;
  for (Door& door : doors_) door.acceptor.close(ignored);
  for (const auto& connection : Connections()) connection->Drain();
  if (entries_.empty()) site_.io.stop();
}

void Listener::CloseAll() {
  for (const auto& connection : Connections()) connection->Close();
}

}  // namespace throng::serve
