#include <gtest/gtest.h>

#include <string>

#include "absl/strings/escaping.h"
#include "common/base/hash.h"
#include "services/preference_broker/store/runs/clips.h"

namespace backflip::preference_broker {
namespace {

v1::Clip SmallClip() {
  v1::Clip clip;
  clip.set_steps(1);
  for (const float v : {1.f, 2.f}) clip.add_observations(v);
  clip.add_actions(-0.5f);
  clip.add_states(3.0);
  clip.add_true_rewards(0.25f);
  clip.mutable_poses()->set_bodies(1);
  clip.mutable_poses()->add_poses(7.f);
  clip.set_policy_version(4);
  clip.set_iteration(5);
  clip.set_ticket(6);
  clip.set_index(7);
  return clip;
}

// The bytes of docs/protocol.md, "Clip key", written out by hand.
TEST(ClipKey, IsTheHashOfTheDocumentedLayout) {
  const std::string bytes =
      std::string("backflip.clip.1\n") + base::FromHex(
                                             "01000000"                  // steps
                                             "0400000000000000"          // policy_version
                                             "0500000000000000"          // iteration
                                             "06000000"                  // ticket
                                             "07000000"                  // index
                                             "020000000000803f00000040"  // observations 1, 2
                                             "01000000000000bf"          // actions -0.5
                                             "010000000000000000000840"  // states 3
                                             "010000000000803e"          // true_rewards 0.25
                                             "01000000"                  // bodies
                                             "010000000000e040");        // poses 7
  EXPECT_EQ(absl::BytesToHexString(ClipKey(SmallClip())), base::Sha256Hex(bytes));
}

TEST(ClipKey, DependsOnEveryField) {
  const std::string key = ClipKey(SmallClip());
  v1::Clip other = SmallClip();
  other.set_index(8);
  EXPECT_NE(ClipKey(other), key);
  other = SmallClip();
  other.set_true_rewards(0, 0.5f);
  EXPECT_NE(ClipKey(other), key);
  other = SmallClip();
  other.add_rubric(1);
  EXPECT_NE(ClipKey(other), key);
  // a number that moves from one array to the next
  other = SmallClip();
  other.clear_actions();
  other.add_observations(-0.5f);
  EXPECT_NE(ClipKey(other), key);
}

TEST(PackClip, PutsEachPartWhereItBelongs) {
  v1::Clip clip = SmallClip();
  clip.add_rubric(2);
  const PackedClip packed = PackClip(clip);
  v1::Clip behaviour, picture, physics, truth;
  ASSERT_TRUE(UnpackPart(packed.behaviour, &behaviour).ok());
  ASSERT_TRUE(UnpackPart(packed.picture, &picture).ok());
  ASSERT_TRUE(UnpackPart(packed.physics, &physics).ok());
  ASSERT_TRUE(UnpackPart(packed.truth, &truth).ok());
  EXPECT_EQ(behaviour.observations_size(), 2);
  EXPECT_EQ(behaviour.iteration(), 5);
  for (const v1::Clip* part : {&behaviour, &picture, &physics})
    EXPECT_EQ(part->true_rewards_size() + part->rubric_size(), 0);
  for (const v1::Clip* part : {&picture, &physics, &truth}) EXPECT_EQ(part->policy_version(), 0);
  v1::Clip whole;
  for (const std::string* part : {&packed.behaviour, &packed.physics, &packed.truth}) {
    ASSERT_TRUE(UnpackPart(*part, &whole).ok());
  }
  *whole.mutable_poses() = picture.poses();
  EXPECT_EQ(whole.SerializeAsString(), clip.SerializeAsString());
}

TEST(UnpackPart, RefusesDamage) {
  v1::Clip clip;
  EXPECT_FALSE(UnpackPart("", &clip).ok());
  EXPECT_FALSE(UnpackPart("not compressed at all", &clip).ok());
  std::string damaged = PackClip(SmallClip()).behaviour;
  damaged.resize(damaged.size() - 1);
  EXPECT_FALSE(UnpackPart(damaged, &clip).ok());
}

}  // namespace
}  // namespace backflip::preference_broker
