// backflip worker invite, join, list, revoke.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "backflip/v1/workers.grpc.pb.h"
#include "cli/command.h"
#include "cli/launcher/paths.h"
#include "cli/launcher/private_file.h"
#include "cli/launcher/subprocess.h"
#include "cli/output/moment.h"
#include "cli/session.h"
#include "cli/values.h"
#include "common/base/random.h"
#include "common/base/retry.h"
#include "common/base/status_macros.h"
#include "common/rpc/certificates.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "common/rpc/transport.h"

namespace backflip::cli {
namespace {

namespace fs = std::filesystem;
using v1::WorkerService;

struct WorkerFlags {
  std::string expires, token, token_file, folder;
  int threads = 0;
  bool insecure = false;
  bool no_start = false;
};
WorkerFlags& flags = *new WorkerFlags;

absl::Status InviteWorker(const Call& call) {
  v1::InviteWorkerRequest request;
  request.set_request_id(base::RandomHex128());
  request.set_name(call.Word(0));
  if (!flags.expires.empty()) {
    ASSIGN_OR_RETURN(const absl::Time expires,
                     ParseMoment("expires", flags.expires, absl::Now(), /*future=*/true));
    request.set_expires_ms(absl::ToUnixMillis(expires));
  }
  std::string authority;
  if (!call.stack.ca.empty()) {
    ASSIGN_OR_RETURN(const std::string der, rpc::CertificateDer(call.stack.ca));
    authority = absl::StrCat(".", absl::WebSafeBase64Escape(der));
  }
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(const v1::InviteWorkerResponse invite,
                   session.broker->Call<WorkerService>(&WorkerService::Stub::Invite, request));
  const std::string& broker = call.stack.broker;
  const bool here = broker.empty() || rpc::IsOnThisMachine(broker);
  absl::PrintF("On the worker's host, once, until %s%s:\n  backflip worker join %s --token %s%s\n",
               MomentText(invite.expires_ms()),
               here ? " (BROKER: host:port by which it reaches this broker)" : "",
               here ? "BROKER" : broker, invite.secret(), authority);
  return absl::OkStatus();
}

// What joining leaves in the folder.
struct Files {
  explicit Files(const std::string& folder)
      : token(folder + "/worker.token"),
        key(folder + "/worker.key"),
        certificate(folder + "/worker.pem"),
        ca(folder + "/ca.pem") {}
  std::string token, key, certificate, ca;
};

bool Exists(const std::string& file) {
  std::error_code ignored;
  return fs::exists(file, ignored);
}

// Of --token, or in the file of --token-file.
absl::StatusOr<std::string> TokenForJoining(const Files& files) {
  std::string token = flags.token;
  if (token.empty()) std::ifstream(flags.token_file) >> token;
  if (!token.empty()) return token;
  return absl::InvalidArgumentError(absl::StrCat(
      flags.token_file.empty() ? "--token is missing" : flags.token_file + " holds no token",
      ": this host has not joined (there is no ", files.token,
      "). `backflip worker invite NAME`, by an operator, gives one"));
}

// Uses the token up. The worker's own is written last: where it is, the others are whole.
absl::Status Join(const std::string& broker, const Files& files, base::ShutdownSignal* shutdown) {
  ASSIGN_OR_RETURN(const std::string given, TokenForJoining(files));
  const std::pair<std::string, std::string> token = absl::StrSplit(given, absl::MaxSplits('.', 1));
  rpc::Transport transport{.insecure = flags.insecure};
  if (!token.second.empty()) {
    std::string der;
    absl::StatusOr<std::string> pem = absl::InvalidArgumentError("no base64url");
    if (absl::WebSafeBase64Unescape(token.second, &der)) pem = rpc::CertificatePem(der);
    if (!pem.ok()) {
      return absl::InvalidArgumentError(
          "--token is incomplete: what follows its dot is no certificate");
    }
    RETURN_IF_ERROR(WritePrivateFile(files.ca, *pem));
    transport.ca = files.ca;
  }
  RETURN_IF_ERROR(rpc::SetTransport(std::move(transport)));
  ASSIGN_OR_RETURN(const rpc::KeyPair pair, rpc::MakeKeyPair());
  v1::JoinRequest request;
  request.set_secret(token.first);
  request.set_request_id(base::RandomHex128());
  request.set_public_key(pair.public_key);
  const rpc::Client client(broker, "");
  const auto stub = WorkerService::NewStub(client.channel());
  v1::JoinResponse joined;
  const absl::Status status = base::Retry(
      {.give_up_after = absl::Seconds(60)}, [&] { return shutdown->Requested(); },
      [&] { return rpc::FromGrpc(stub->Join(client.UnaryContext().get(), request, &joined)); });
  if (absl::IsUnavailable(status)) {
    return absl::UnavailableError(absl::StrCat(
        "no broker answers at ", broker, " (", status.message(),
        "): is it there, with a certificate of the authority in --token, and started with "
        "--worker_authority if it asks for certificates?"));
  }
  RETURN_IF_ERROR(status);
  if (!joined.certificate().empty()) {
    RETURN_IF_ERROR(WritePrivateFile(files.key, pair.key));
    RETURN_IF_ERROR(WritePrivateFile(files.certificate, joined.certificate()));
  }
  RETURN_IF_ERROR(WritePrivateFile(files.token, joined.token() + "\n"));
  absl::PrintF("joined as %s\n", joined.name());
  return absl::OkStatus();
}

// Runs the worker until it ends, or is drained by the signal that ends us.
absl::Status Serve(Process worker, base::ShutdownSignal* shutdown) {
  worker.dies_with_parent = true;
  ASSIGN_OR_RETURN(const pid_t pid, Spawn(worker));
  std::thread drain([&] {
    shutdown->Wait();
    kill(pid, SIGTERM);
  });
  // left to wait for, so that its number is nobody else's while it may be signalled
  siginfo_t ended = {};
  while (waitid(P_PID, pid, &ended, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  shutdown->Request();
  drain.join();
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::UnavailableError("the worker has ended; its last line says why");
}

// Gives the files to the user whom root runs services as, unless that one cannot use them.
void HandOver(const std::string& folder, const Files& files, Process* worker) {
  const auto may = [&](const std::string& what, const std::string& path) {
    return Run({.argv = {"test", what, path}, .user = worker->user}).ok();
  };
  if (!worker->user.has_value()) return;
  for (const std::string& path :
       {folder, folder + "/cache", files.token, files.key, files.certificate, files.ca})
    (void)!lchown(path.c_str(), worker->user->uid, worker->user->gid);
  if (may("-r", files.token) && may("-x", worker->argv[0])) return;
  absl::PrintF("it runs as root: the user `backflip` cannot enter %s or %s\n", folder,
               ProgramPath(""));
  worker->user.reset();
}

absl::Status JoinWorker(const Call& call) {
  const std::string broker = call.Word(0);
  const std::string folder =
      fs::absolute(flags.folder.empty() ? DefaultDataFolder() + "/worker" : flags.folder).string();
  const Files files(folder);
  std::error_code error;
  fs::create_directories(folder + "/cache", error);
  if (error) {
    return absl::FailedPreconditionError(absl::StrCat(
        "cannot write into ", folder, ": ", error.message(), ". Choose another with --folder."));
  }
  if (!Exists(files.token)) RETURN_IF_ERROR(Join(broker, files, call.shutdown));
  if (flags.no_start) return absl::OkStatus();
  Process worker{.argv = {ProgramPath("rollout-worker"), absl::StrCat("--broker=", broker),
                          absl::StrCat("--token_file=", files.token),
                          absl::StrCat("--cache=", folder, "/cache"),
                          absl::StrCat("--threads=", flags.threads)},
                 .user = ServiceUser()};
  if (Exists(files.ca)) worker.argv.push_back(absl::StrCat("--tls_ca=", files.ca));
  if (Exists(files.certificate)) {
    worker.argv.push_back(absl::StrCat("--tls_certificate=", files.certificate));
    worker.argv.push_back(absl::StrCat("--tls_key=", files.key));
  }
  if (flags.insecure) worker.argv.push_back("--insecure");
  HandOver(folder, files, &worker);
  return Serve(std::move(worker), call.shutdown);
}

absl::Status ListWorkers(const Call& call) {
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(const v1::ListWorkersResponse response,
                   session.broker->CallPages<WorkerService>(&WorkerService::Stub::List,
                                                            v1::ListWorkersRequest()));
  absl::PrintF("%-24s %-34s %-16s %s\n", "worker", "state", "last used", "serves");
  for (const v1::Worker& worker : response.workers()) {
    const std::string state = worker.state() == v1::JOINED ? "joined"
                              : worker.state() == v1::INVITED
                                  ? absl::StrCat("may join until ", MomentText(worker.expires_ms()))
                                  : "cut off";
    const std::string runs =
        worker.run_ids().empty() ? "" : absl::StrCat("run ", absl::StrJoin(worker.run_ids(), ", "));
    absl::PrintF("%-24s %-34s %-16s %s\n", worker.name(), state, MomentText(worker.last_used_ms()),
                 runs);
  }
  return absl::OkStatus();
}

absl::Status RevokeWorker(const Call& call) {
  v1::RevokeWorkerRequest request;
  request.set_name(call.Word(0));
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  return session.broker->Call<WorkerService>(&WorkerService::Stub::Revoke, request).status();
}

const Registered kRegistered{
    {Section::kSetUp,
     "worker invite NAME",
     "let another host simulate: prints the one command that it needs",
     InviteWorker,
     {{"expires TIME", &flags.expires,
       "until when it may join, such as 2h or 2027-06-01. Default: a day"}},
     "The command holds a token that is good once, and the authority of --ca, if one is named, "
     "which "
     "the host then trusts for broker and learners (docs/security.md)."},
    {Section::kSetUp,
     "worker join BROKER",
     "simulate on this host for the broker at host:port",
     JoinWorker,
     {{"token TOKEN", &flags.token, "from `backflip worker invite`; needed the first time alone"},
      {"token-file FILE", &flags.token_file,
       "file with it, which nobody sees in a list of processes"},
      {"no-start", &flags.no_start,
       "join and end: a unit of systemd, or another supervisor, runs rollout-worker itself"},
      {"threads N", &flags.threads, "simulation threads. Default: one for each core"},
      {"folder FOLDER", &flags.folder,
       "where this host's token, key and certificate are kept. Default: worker in the data folder, "
       "/var/lib/backflip for root, else ~/.local/share/backflip"},
      {"insecure", &flags.insecure, "speak plain text with other machines"}},
     "Runs until it is ended, or its token is revoked. Its key never leaves this host. To join "
     "anew, "
     "remove the folder.",
     /*takes_stack=*/false},
    {Section::kSetUp, "worker list", "hosts that simulate, and what they serve", ListWorkers},
    {Section::kSetUp, "worker revoke NAME",
     "cut a host off: the broker refuses it at once, learners within ten seconds", RevokeWorker},
};

}  // namespace
}  // namespace backflip::cli
