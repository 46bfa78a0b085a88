#include "services/preference_broker/http/server.h"

#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <future>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/http/message.h"
#include "services/preference_broker/http/session.h"
#include "services/preference_broker/http/tls.h"

namespace backflip::preference_broker {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr int kThreads = 2;
// Open files that are reserved for the rest of the process.
constexpr int64_t kSparedFiles = 256;
constexpr int64_t kMaxConnections = 50'000;
// The part of them that one address may have.
constexpr int64_t kShareOfAddress = 4;
// How often the deadlines of connections are checked.
constexpr std::chrono::milliseconds kSweep(100);

class HttpServerImpl final : public HttpServer {
 public:
  HttpServerImpl(const HttpOptions& options, const std::shared_ptr<grpc::Channel>& channel,
                 CheckToken check, std::function<void()> on_drain, Pages pages,
                 std::unique_ptr<Tls> tls)
      : shared_(options, channel, std::move(check), std::move(pages)),
        on_drain_(std::move(on_drain)),
        tls_(std::move(tls)) {
    for (int i = 0; i < kThreads; ++i) shards_.push_back(std::make_shared<Shard>(&shared_));
    acceptor_.emplace(shards_[0]->context);
  }
  ~HttpServerImpl() override { Drain(absl::ZeroDuration()); }

  const std::string& url() const override { return url_; }

  absl::Status Listen(const tcp::endpoint& endpoint, const std::string& host) {
    error_code error;
    acceptor_->open(endpoint.protocol(), error);
    if (!error) acceptor_->set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_->bind(endpoint, error);
    if (!error) acceptor_->listen(tcp::acceptor::max_listen_connections, error);
    if (error) {
      acceptor_->close(error);
      return absl::UnavailableError(
          absl::StrCat("cannot listen for HTTP on '", shared_.options.listen,
                       "': the address is taken, or not of this machine"));
    }
    url_ = absl::StrCat(tls_ == nullptr ? "http://" : "https://", host, ":",
                        acceptor_->local_endpoint().port());
    const std::string& public_url = shared_.options.public_url;
    shared_.gateway.ReachedAt(public_url.empty() ? url_ : public_url);
    return absl::OkStatus();
  }

  void Run(int64_t max_connections) {
    max_connections_ = max_connections;
    asio::co_spawn(shards_[0]->context, Accept(), asio::detached);
    for (const std::shared_ptr<Shard>& shard : shards_) {
      asio::co_spawn(shard->context, Sweep(shard.get()), asio::detached);
      shard->thread = std::thread([shard = shard.get()] { shard->context.run(); });
    }
  }

  void Drain(absl::Duration grace) override {
    if (drained_) return;
    drained_ = true;
    shared_.draining = true;
    on_drain_();
    if (shards_[0]->thread.joinable()) {
      std::promise<void> closed;
      asio::post(shards_[0]->context, [&] {
        error_code ignored;
        acceptor_->close(ignored);
        closed.set_value();
      });
      closed.get_future().wait();  // all accepted connections are counted now
    }
    ForAll([](Session* session) { session->CloseIdle(); });
    if (!AwaitEnd(Clock::now() + absl::ToChronoMilliseconds(grace))) {
      ForAll([](Session* session) { session->Abort(); });
      (void)AwaitEnd(Clock::time_point::max());
    }
    for (const std::shared_ptr<Shard>& shard : shards_) {
      asio::post(shard->context, [shard = shard.get()] { shard->sweep.cancel(); });
      shard->work.reset();
      if (shard->thread.joinable()) shard->thread.join();
    }
  }

 private:
  void ForAll(void (*act)(Session*)) {
    for (const std::shared_ptr<Shard>& shard : shards_) {
      asio::post(shard->context, [shard = shard.get(), act] {
        const std::set<Session*> sessions = shard->sessions;
        for (Session* session : sessions) act(session);
      });
    }
  }

  // Waits until all connections have ended; false: not by `until`.
  bool AwaitEnd(Clock::time_point until) {
    base::MutexLock lock(&shared_.mutex);
    while (shared_.connections > 0) {
      const Clock::time_point now = Clock::now();
      if (now >= until) return false;
      shared_.ended.WaitFor(&shared_.mutex,
                            std::min<Clock::duration>(until - now, std::chrono::seconds(1)));
    }
    return true;
  }

  asio::awaitable<void> Sweep(Shard* shard) {
    while (!shared_.draining || !shard->sessions.empty()) {
      shard->sweep.expires_after(kSweep);
      error_code ignored;
      co_await shard->sweep.async_wait(Into(ignored));
      const Clock::time_point now = Clock::now();
      for (Session* session : shard->sessions) session->CheckDeadline(now);
    }
  }

  // nullptr: `place` has its share of the connections, behind a proxy all of them.
  std::shared_ptr<void> SlotFor(const std::string& place) {
    const int64_t share = shared_.options.public_url.empty() ? kShareOfAddress : 1;
    return shared_.connections_from.Take(place, static_cast<int>(max_connections_ / share));
  }

  asio::awaitable<void> Accept() {
    asio::steady_timer pause(shards_[0]->context);
    Clock::time_point warn_at = Clock::time_point::min();
    size_t next = 0;
    while (!shared_.draining) {
      const std::shared_ptr<Shard>& shard = shards_[next++ % shards_.size()];
      tcp::socket socket(shard->context);
      error_code error, gone;
      co_await acceptor_->async_accept(socket, Into(error));
      if (shared_.draining) co_return;
      const bool full = shared_.Connections() >= max_connections_;
      const std::string place = error ? "" : Place(socket.remote_endpoint(gone).address());
      std::shared_ptr<void> slot = SlotFor(place);
      if (error || full || slot == nullptr) {
        if (Clock::now() >= warn_at) {
          warn_at = Clock::now() + std::chrono::minutes(1);
          base::LogWarning(
              "connections are turned away",
              {{"reason", error ? error.message() : "too many are open"}, {"last_from", place}});
        }
        if (error) {  // most likely out of files
          pause.expires_after(std::chrono::milliseconds(100));
          co_await pause.async_wait(Into(error));
        }
        continue;
      }
      socket.set_option(tcp::no_delay(true), error);
      shared_.Count(1);
      if (tls_ == nullptr) {
        StartSession(shard, std::move(socket), std::move(slot));
      } else {
        StartSession(shard, ssl::stream<tcp::socket>(std::move(socket), *tls_->Current()),
                     std::move(slot));
      }
    }
  }

  Shared shared_;
  const std::function<void()> on_drain_;
  const std::unique_ptr<Tls> tls_;
  std::vector<std::shared_ptr<Shard>> shards_;
  std::optional<tcp::acceptor> acceptor_;
  std::string url_;
  int64_t max_connections_ = 0;
  bool drained_ = false;
};

// Raises the soft limit of open files to the hard limit; returns how many connections fit.
int64_t RaiseFileLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMaxConnections;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) getrlimit(RLIMIT_NOFILE, &limit);
  const auto files =
      static_cast<int64_t>(std::min<rlim_t>(limit.rlim_cur, kMaxConnections + kSparedFiles));
  return std::max<int64_t>(files - kSparedFiles, 16);
}

// Whether a host, a name or an address in any form, can only mean this machine.
bool IsLoopback(const std::string& host) {
  error_code error;
  const auto address = asio::ip::make_address(host, error);
  return host == "localhost" || (!error && address.is_loopback());
}

absl::Status CheckPublicUrl(absl::string_view url) {
  if (url.empty() || absl::StartsWith(url, "https://")) return absl::OkStatus();
  absl::string_view host = url;
  if (!absl::ConsumePrefix(&host, "http://"))
    return absl::InvalidArgumentError("--public_url must begin with https://");
  host = host.substr(0, host.find('/'));
  if (absl::ConsumePrefix(&host, "[")) {
    host = host.substr(0, host.find(']'));
  } else {
    host = host.substr(0, host.find(':'));
  }
  if (IsLoopback(std::string(host))) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--public_url ", url,
      " would send tokens and answers over the network as plain text: put a proxy with "
      "TLS in front and give its https:// address; http:// is for 127.0.0.1, [::1] and "
      "localhost"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(
    const HttpOptions& options, const std::shared_ptr<grpc::Channel>& channel, CheckToken check,
    std::function<void()> on_drain) {
  RETURN_IF_ERROR(CheckPublicUrl(options.public_url));
  const size_t colon = options.listen.rfind(':');
  int port = 0;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(options.listen.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("--http_listen is '", options.listen,
                     "', but must be host:port, such as 127.0.0.1:8080 or [::]:8080"));
  }
  if (options.tls_certificate.empty() != options.tls_key.empty()) {
    return absl::InvalidArgumentError(
        "--tls_certificate and --tls_key belong together: give both or neither");
  }
  const std::string host = options.listen.substr(0, colon);
  absl::string_view bare = host;
  if (absl::ConsumePrefix(&bare, "[")) absl::ConsumeSuffix(&bare, "]");
  asio::io_context resolving;
  tcp::resolver resolver(resolving);
  error_code error;
  const auto found =
      resolver.resolve(std::string(bare), std::to_string(port),
                       tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error || found.empty()) {
    return absl::UnavailableError(absl::StrCat("cannot listen for HTTP on '", options.listen,
                                               "': the host is not known: ", error.message()));
  }
  std::vector<tcp::endpoint> endpoints;
  for (const auto& entry : found) endpoints.push_back(entry.endpoint());
  const bool loopback = std::all_of(endpoints.begin(), endpoints.end(), [](const tcp::endpoint& e) {
    return e.address().is_loopback();
  });
  if (!loopback && options.tls_certificate.empty() && options.public_url.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--http_listen ", options.listen,
        " can be reached from other machines, and without TLS whoever is on the way could read "
        "tokens and answers: give --tls_certificate and --tls_key, or --public_url if a proxy with "
        "TLS is in front, or listen on 127.0.0.1"));
  }
  std::unique_ptr<Tls> tls;
  if (!options.tls_certificate.empty()) {
    ASSIGN_OR_RETURN(tls, Tls::Load(options.tls_certificate, options.tls_key, options.renewal));
  }
  Pages pages;
  if (!options.web.empty()) {
    ASSIGN_OR_RETURN(pages, Pages::Read(options.web));
  }
  const int64_t max_connections = RaiseFileLimit();
  auto server = std::make_unique<HttpServerImpl>(
      options, channel, std::move(check), std::move(on_drain), std::move(pages), std::move(tls));
  absl::Status listening;
  for (const tcp::endpoint& endpoint : endpoints) {
    listening = server->Listen(endpoint, host);
    if (listening.ok()) break;
  }
  RETURN_IF_ERROR(listening);
  server->Run(max_connections);
  return server;
}

}  // namespace backflip::preference_broker
