// Reliabilities on the synthetic crowd of tests/support/crowd_reference.py,
// against the skills of Crowd-Kit's NoisyBradleyTerry on the same votes.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "common/learn/random.h"
#include "common/learn/reward/ensemble.h"
#include "common/learn/torch_runtime.h"
#include "common/options/run_spec.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace backflip::learn {
namespace {

// Mean ranks, ties sharing theirs; what differs by less than `tie` is one.
std::vector<double> Ranks(const std::vector<double>& values, double tie) {
  std::vector<double> ranks;
  for (const double value : values) {
    double below = 0, equal = 0;
    for (const double other : values) {
      if (std::abs(other - value) < tie) {
        ++equal;
      } else {
        below += other < value;
      }
    }
    ranks.push_back(below + (equal - 1) / 2);
  }
  return ranks;
}

double Correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const double n = static_cast<double>(a.size());
  const double mean_a = std::accumulate(a.begin(), a.end(), 0.0) / n;
  const double mean_b = std::accumulate(b.begin(), b.end(), 0.0) / n;
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean_a) * (b[i] - mean_b);
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return ab / std::sqrt(aa * bb);
}

TEST(CrowdReference, LabelersComeInTheOrderOfCrowdKitsSkills) {
  SetUpTorch();
  const auto reference = nlohmann::json::parse(std::ifstream(REFERENCE));
  // A clip's worth is to be found among numbers that mean nothing. (Known by its number alone,
  // as to Crowd-Kit, nothing could be said of a clip that a member never saw, and labelers are
  // judged by such clips.)
  constexpr int kNumbers = 4;
  const auto clip = [&](int number) {
    auto one = std::make_shared<experience::Clip>();
    one->steps = 1;
    KeyedRandom random(1, number);
    for (int i = 0; i < 2 * kNumbers; ++i) {
      one->observations.push_back(static_cast<float>(2 * random.Uniform() - 1));
    }
    one->observations[0] = reference["worth"][number].get<float>();
    return one;
  };
  v1::RewardModel options = options::DefaultRunSpec().reward_model();
  options.clear_hidden();
  options.set_members(5);
  options.set_l2_penalty(1e-4);
  options.set_adapt_l2_penalty(true);
  options.set_uniform_answers(0);
  options.set_learning_rate(0.03);
  auto ensemble = RewardEnsemble::Create(options, /*learn_reliability=*/true, 1, kNumbers, 0);
  ASSERT_TRUE(ensemble.ok()) << ensemble.status();
  for (const auto& vote : reference["votes"]) {  // pair, labeler, 0 to 2
    const auto& pair = reference["pairs"][vote[0].get<int>()];
    experience::Comparison label;
    label.ordinal = vote[0];
    label.labeler = vote[1];
    label.left = clip(pair[0]);
    label.right = clip(pair[1]);
    label.left_preferred = 1 - vote[2].get<float>() / 2;
    ASSERT_TRUE((*ensemble)->AddLabel(label).ok());
  }
  for (int round = 0; round < 10; ++round) ASSERT_TRUE((*ensemble)->Train(50).ok());

  std::vector<double> learned, skills;
  for (const Reliability& r : (*ensemble)->Reliabilities()) learned.push_back(r.mean);
  for (const auto& skill : reference["noisy_bradley_terry"]["optimum"]["skills"])
    skills.push_back(skill);
  ASSERT_EQ(learned.size(), skills.size());
  const auto& labelers = reference["labelers"];
  EXPECT_GT(Correlation(Ranks(learned, 1e-9), Ranks(skills, 1e-3)), 0.85);

  // whoever sees is above whoever does not, and the one who turns answers around is
  // last: Crowd-Kit's model holds that one for one who looks at sides alone
  std::map<std::string, double> least, greatest;
  for (size_t k = 0; k < labelers.size(); ++k) {
    const std::string kind = labelers[k]["kind"];
    least[kind] = least.count(kind) > 0 ? std::min(least[kind], learned[k]) : learned[k];
    greatest[kind] = std::max(greatest[kind], learned[k]);
  }
  for (const char* sees : {"careful", "good", "hasty"}) {
    for (const char* blind : {"random", "left"})
      EXPECT_GT(least[sees], greatest[blind]) << sees << " " << blind;
  }
  EXPECT_GT(least["careful"], greatest["hasty"]);
  EXPECT_LT(greatest["inverted"], std::min(least["random"], least["left"]));
  EXPECT_LT(greatest["inverted"], 0.3);
}

}  // namespace
}  // namespace backflip::learn
