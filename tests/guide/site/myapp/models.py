from django.contrib.auth.models import User
from django.db import models
from django.utils import timezone


class UserProfile(models.Model):
    user = models.OneToOneField(User, on_delete=models.CASCADE)
    bio = models.TextField(default="", blank=True)
    created_at = models.DateTimeField(default=timezone.now)


class Post(models.Model):
    title = models.CharField(max_length=50)
    published = models.BooleanField(default=False)
    published_at = models.DateTimeField(null=True)
    featured = models.BooleanField(default=False)
    category_id = models.IntegerField(null=True)


class StoredResult(models.Model):
    """What `myapp.backends` keeps besides."""

    task_id = models.CharField(max_length=64, unique=True)
    status = models.CharField(max_length=20)
    result = models.TextField()
    priority = models.IntegerField(default=0)
    category = models.CharField(max_length=50, blank=True)
    created_by = models.ForeignKey("auth.User", on_delete=models.SET_NULL, null=True, blank=True)
