from django.tasks import task
from django.core.mail import send_mail
from django.contrib.auth.models import User
from .models import Post, UserProfile
import requests
import time

@task
def simple_task(message):
    """Simple task example."""
    print(f"Processing: {message}")
    time.sleep(2)
    return f"Completed: {message}"

@task
def send_welcome_email(user_id):
    """Send welcome email to user."""
    try:
        user = User.objects.get(id=user_id)
        
        subject = "Welcome to our platform!"
        message = f"Hello {user.first_name or user.username}, welcome to our platform!"
        
        send_mail(
            subject=subject,
            message=message,
            from_email='noreply@example.com',
            recipient_list=[user.email],
            fail_silently=False
        )
        
        return f"Welcome email sent to {user.email}"
    
    except User.DoesNotExist:
        return f"User with ID {user_id} not found"
    except Exception as e:
        raise Exception(f"Failed to send email: {str(e)}")

@task
def process_user_data(user_id, data_updates):
    """Process user data updates."""
    try:
        user = User.objects.get(id=user_id)
        
        # Update user fields
        for field, value in data_updates.items():
            if hasattr(user, field):
                setattr(user, field, value)
        
        user.save()
        
        # Update or create profile
        profile, created = UserProfile.objects.get_or_create(user=user)
        profile_updates = data_updates.get('profile', {})
        
        for field, value in profile_updates.items():
            if hasattr(profile, field):
                setattr(profile, field, value)
        
        profile.save()
        
        return {
            'user_updated': True,
            'profile_created': created,
            'updated_fields': list(data_updates.keys())
        }
    
    except Exception as e:
        raise Exception(f"Failed to process user data: {str(e)}")

@task
def fetch_external_data(api_url, params=None):
    """Fetch data from external API."""
    try:
        response = requests.get(api_url, params=params, timeout=30)
        response.raise_for_status()
        
        data = response.json()
        
        # Process and store data
        processed_count = 0
        for item in data.get('items', []):
            # Process each item
            processed_count += 1
        
        return {
            'success': True,
            'items_processed': processed_count,
            'total_items': len(data.get('items', []))
        }
    
    except requests.RequestException as e:
        raise Exception(f"API request failed: {str(e)}")
    except Exception as e:
        raise Exception(f"Data processing failed: {str(e)}")

# The documented helpers use these names without importing them.
import os
from PIL import Image

from django.tasks import task

@task
def send_email_django_task(user_id, subject, message):
    """Send email using Django Tasks."""
    user = User.objects.get(id=user_id)
    send_mail(subject, message, 'from@example.com', [user.email])

from django.tasks import task
from django.tasks.exceptions import Retry, Ignore
from datetime import datetime, timedelta
import logging

logger = logging.getLogger(__name__)

@task(
    bind=True,
    max_retries=3,
    default_retry_delay=60,
    rate_limit='10/m',  # 10 tasks per minute
    time_limit=300,     # 5 minutes
    soft_time_limit=240 # 4 minutes
)
def robust_email_task(self, user_id, template_name, context=None):
    """Robust email sending task with retry logic."""
    try:
        user = User.objects.get(id=user_id)
        
        # Render email template
        from django.template.loader import render_to_string
        
        html_content = render_to_string(
            f'emails/{template_name}.html',
            context or {}
        )
        
        # Send email
        from django.core.mail import EmailMessage
        
        email = EmailMessage(
            subject=context.get('subject', 'Notification'),
            body=html_content,
            from_email='noreply@example.com',
            to=[user.email]
        )
        email.content_subtype = 'html'
        email.send()
        
        logger.info(f"Email sent successfully to {user.email}")
        return f"Email sent to {user.email}"
    
    except User.DoesNotExist:
        logger.error(f"User {user_id} not found")
        raise Ignore(f"User {user_id} not found")
    
    except Exception as exc:
        logger.error(f"Email sending failed: {exc}")
        
        # Retry with exponential backoff
        retry_delay = 60 * (2 ** self.request.retries)
        
        raise self.retry(
            exc=exc,
            countdown=retry_delay,
            max_retries=3
        )

@task(bind=True, queue='high_priority')
def urgent_notification_task(self, user_ids, message, notification_type='urgent'):
    """Send urgent notifications to multiple users."""
    successful_sends = 0
    failed_sends = 0
    
    for user_id in user_ids:
        try:
            user = User.objects.get(id=user_id)
            
            # Send notification via multiple channels
            channels_sent = []
            
            # Email notification
            if user.email:
                send_mail(
                    subject=f'Urgent: {notification_type}',
                    message=message,
                    from_email='urgent@example.com',
                    recipient_list=[user.email]
                )
                channels_sent.append('email')
            
            # SMS notification (if configured)
            if hasattr(user, 'profile') and user.profile.phone_number:
                # send_sms(user.profile.phone_number, message)
                channels_sent.append('sms')
            
            # Push notification
            # send_push_notification(user, message)
            channels_sent.append('push')
            
            successful_sends += 1
            logger.info(f"Urgent notification sent to user {user_id} via {channels_sent}")
        
        except User.DoesNotExist:
            failed_sends += 1
            logger.warning(f"User {user_id} not found for urgent notification")
        
        except Exception as e:
            failed_sends += 1
            logger.error(f"Failed to send urgent notification to user {user_id}: {e}")
    
    return {
        'successful_sends': successful_sends,
        'failed_sends': failed_sends,
        'total_users': len(user_ids)
    }

@task(bind=True)
def batch_process_posts(self, post_ids, operation, **kwargs):
    """Batch process multiple posts."""
    results = {
        'successful': [],
        'failed': [],
        'total': len(post_ids)
    }
    
    for i, post_id in enumerate(post_ids):
        try:
            # Update task progress
            self.update_state(
                state='PROGRESS',
                meta={
                    'current': i + 1,
                    'total': len(post_ids),
                    'status': f'Processing post {post_id}'
                }
            )
            
            post = Post.objects.get(id=post_id)
            
            if operation == 'publish':
                post.published = True
                post.published_at = datetime.now()
            elif operation == 'unpublish':
                post.published = False
            elif operation == 'feature':
                post.featured = True
            elif operation == 'update_category':
                category_id = kwargs.get('category_id')
                if category_id:
                    post.category_id = category_id
            
            post.save()
            results['successful'].append(post_id)
        
        except Post.DoesNotExist:
            results['failed'].append({
                'post_id': post_id,
                'error': 'Post not found'
            })
        
        except Exception as e:
            results['failed'].append({
                'post_id': post_id,
                'error': str(e)
            })
    
    return results

@task(bind=True, time_limit=3600)  # 1 hour limit
def generate_report(self, report_type, date_range, user_id):
    """Generate comprehensive report."""
    try:
        user = User.objects.get(id=user_id)
        
        # Update progress
        self.update_state(
            state='PROGRESS',
            meta={'status': 'Initializing report generation'}
        )
        
        from .reports import ReportGenerator
        generator = ReportGenerator(report_type, date_range)
        
        # Generate report sections
        sections = ['summary', 'details', 'charts', 'export']
        
        for i, section in enumerate(sections):
            self.update_state(
                state='PROGRESS',
                meta={
                    'current': i + 1,
                    'total': len(sections),
                    'status': f'Generating {section} section'
                }
            )
            
            generator.generate_section(section)
        
        # Finalize report
        report_path = generator.finalize()
        
        # Send report to user
        send_mail(
            subject=f'Report Ready: {report_type}',
            message=f'Your {report_type} report is ready for download.',
            from_email='reports@example.com',
            recipient_list=[user.email]
        )
        
        return {
            'report_path': report_path,
            'report_type': report_type,
            'generated_for': user.email,
            'sections_generated': len(sections)
        }
    
    except Exception as e:
        logger.error(f"Report generation failed: {e}")
        raise

from django.tasks import Task
from django.db import transaction

class DataMigrationTask(Task):
    """Class-based task for data migration."""
    
    name = 'data_migration'
    max_retries = 1
    time_limit = 7200  # 2 hours
    
    def run(self, migration_type, batch_size=1000, **kwargs):
        """Run data migration."""
        self.migration_type = migration_type
        self.batch_size = batch_size
        
        if migration_type == 'user_profiles':
            return self.migrate_user_profiles()
        elif migration_type == 'post_categories':
            return self.migrate_post_categories()
        else:
            raise ValueError(f"Unknown migration type: {migration_type}")
    
    def migrate_user_profiles(self):
        """Migrate user profiles."""
        users_without_profiles = User.objects.filter(userprofile__isnull=True)
        total_users = users_without_profiles.count()
        
        migrated_count = 0
        
        for i in range(0, total_users, self.batch_size):
            batch = users_without_profiles[i:i + self.batch_size]
            
            with transaction.atomic():
                profiles_to_create = []
                
                for user in batch:
                    profiles_to_create.append(
                        UserProfile(
                            user=user,
                            bio='',
                            created_at=user.date_joined
                        )
                    )
                
                UserProfile.objects.bulk_create(profiles_to_create)
                migrated_count += len(profiles_to_create)
            
            # Update progress
            self.update_state(
                state='PROGRESS',
                meta={
                    'current': migrated_count,
                    'total': total_users,
                    'status': f'Migrated {migrated_count}/{total_users} profiles'
                }
            )
        
        return {
            'migration_type': 'user_profiles',
            'total_migrated': migrated_count,
            'batch_size': self.batch_size
        }
    
    def migrate_post_categories(self):
        """Migrate post categories."""
        # Implementation for post category migration
        pass
    
    def on_failure(self, exc, task_id, args, kwargs, einfo):
        """Handle task failure."""
        logger.error(f"Data migration failed: {exc}")
        
        # Send failure notification
        send_mail(
            subject='Data Migration Failed',
            message=f'Migration {self.migration_type} failed: {exc}',
            from_email='admin@example.com',
            recipient_list=['admin@example.com']
        )
    
    def on_success(self, retval, task_id, args, kwargs):
        """Handle task success."""
        logger.info(f"Data migration completed: {retval}")
        
        # Send success notification
        send_mail(
            subject='Data Migration Completed',
            message=f'Migration completed successfully: {retval}',
            from_email='admin@example.com',
            recipient_list=['admin@example.com']
        )

# Register class-based task
data_migration_task = DataMigrationTask()

class FileProcessingTask(Task):
    """Class-based task for file processing."""
    
    name = 'file_processing'
    bind = True
    max_retries = 2
    
    def run(self, file_path, processing_type, **options):
        """Process uploaded file."""
        import os
        from PIL import Image
        
        if not os.path.exists(file_path):
            raise FileNotFoundError(f"File not found: {file_path}")
        
        if processing_type == 'image_resize':
            return self.resize_image(file_path, **options)
        elif processing_type == 'image_optimize':
            return self.optimize_image(file_path, **options)
        elif processing_type == 'generate_thumbnails':
            return self.generate_thumbnails(file_path, **options)
        else:
            raise ValueError(f"Unknown processing type: {processing_type}")
    
    def resize_image(self, file_path, width, height, **kwargs):
        """Resize image to specified dimensions."""
        try:
            with Image.open(file_path) as img:
                # Resize image
                resized_img = img.resize((width, height), Image.Resampling.LANCZOS)
                
                # Save resized image
                output_path = file_path.replace('.', f'_resized_{width}x{height}.')
                resized_img.save(output_path, optimize=True, quality=85)
                
                return {
                    'original_path': file_path,
                    'resized_path': output_path,
                    'original_size': img.size,
                    'new_size': (width, height)
                }
        
        except Exception as e:
            raise Exception(f"Image resize failed: {str(e)}")
    
    def optimize_image(self, file_path, quality=85, **kwargs):
        """Optimize image for web."""
        try:
            with Image.open(file_path) as img:
                # Convert to RGB if necessary
                if img.mode in ('RGBA', 'P'):
                    img = img.convert('RGB')
                
                # Save optimized image
                output_path = file_path.replace('.', '_optimized.')
                img.save(output_path, optimize=True, quality=quality)
                
                # Get file sizes
                original_size = os.path.getsize(file_path)
                optimized_size = os.path.getsize(output_path)
                
                return {
                    'original_path': file_path,
                    'optimized_path': output_path,
                    'original_size': original_size,
                    'optimized_size': optimized_size,
                    'compression_ratio': (original_size - optimized_size) / original_size
                }
        
        except Exception as e:
            raise Exception(f"Image optimization failed: {str(e)}")
    
    def generate_thumbnails(self, file_path, sizes=None, **kwargs):
        """Generate multiple thumbnail sizes."""
        if sizes is None:
            sizes = [(150, 150), (300, 300), (600, 600)]
        
        thumbnails = []
        
        try:
            with Image.open(file_path) as img:
                for i, (width, height) in enumerate(sizes):
                    # Update progress
                    self.update_state(
                        state='PROGRESS',
                        meta={
                            'current': i + 1,
                            'total': len(sizes),
                            'status': f'Generating {width}x{height} thumbnail'
                        }
                    )
                    
                    # Create thumbnail
                    thumbnail = img.copy()
                    thumbnail.thumbnail((width, height), Image.Resampling.LANCZOS)
                    
                    # Save thumbnail
                    output_path = file_path.replace('.', f'_thumb_{width}x{height}.')
                    thumbnail.save(output_path, optimize=True, quality=85)
                    
                    thumbnails.append({
                        'size': (width, height),
                        'path': output_path,
                        'file_size': os.path.getsize(output_path)
                    })
                
                return {
                    'original_path': file_path,
                    'thumbnails': thumbnails,
                    'total_thumbnails': len(thumbnails)
                }
        
        except Exception as e:
            raise Exception(f"Thumbnail generation failed: {str(e)}")

# Register class-based task
file_processing_task = FileProcessingTask()
